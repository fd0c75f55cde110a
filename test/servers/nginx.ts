/**
 * nginx from its Debian package, serving a folder: ETag and ranges anywhere, a password below /private/, a trickle below
 * /slow/, a redirect to a file below /moved/.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, type Started, skipWithout, startProcess } from './debian.js';

const binary = '/usr/sbin/nginx';

export const nginxSkip = skipWithout([binary], 'nginx-light');

export interface Nginx extends Started {
  readonly port: number;
  /** What it serves; files may be changed at any time. */
  readonly root: string;
}

export const nginxUser = { user: 'reader', password: 'pass-%w@rd' };

export async function startNginx(): Promise<Nginx> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-nginx-'));
  const root = join(folder, 'root');
  mkdirSync(root);
  const port = await freePort();
  writeFileSync(join(folder, 'users'), `${nginxUser.user}:{PLAIN}${nginxUser.password}\n`);
  writeFileSync(join(folder, 'nginx.conf'), configuration(folder, port));
  const server = await startProcess({
    command: binary,
    parameters: ['-p', folder, '-c', join(folder, 'nginx.conf'), '-e', 'stderr'],
    port,
  });
  const stop = async () => {
    await server.stop();
    rmSync(folder, { recursive: true });
  };
  return { port, root, stop };
}

function configuration(folder: string, port: number): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  return `
daemon off;
master_process off;
pid ${folder}/pid;
error_log stderr;
events {}
http {
  access_log off;
  ${temporary.map((kind) => `${kind}_temp_path ${folder}/${kind};`).join('\n  ')}
  types { application/json json; }
  default_type application/octet-stream;
  server {
    listen 127.0.0.1:${port};
    root ${folder}/root;
    location /private/ { alias ${folder}/root/; auth_basic models; auth_basic_user_file ${folder}/users; }
    location /slow/ { alias ${folder}/root/; limit_rate 1k; }
    location /moved/ { rewrite ^/moved/(.*)$ /$1 redirect; }
    location /busy/ { add_header Retry-After 2 always; return 503; }
  }
}
`;
}
