/**
 * The registry of the Debian package docker-registry, with no authentication, with passwords (htpasswd), or with tokens from
 * a server that is started beside it and signs them by RS256.
 */
import { execFileSync } from 'node:child_process';
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, type Started, skipWithout, startProcess } from './debian.js';

const binaries = [
  '/usr/bin/docker-registry',
  '/usr/bin/htpasswd',
  '/usr/bin/skopeo',
  '/usr/bin/umoci',
  '/usr/bin/openssl',
];

export const dockerRegistrySkip = skipWithout(binaries, 'docker-registry apache2-utils skopeo umoci openssl');

export type RegistryAuth = 'none' | 'htpasswd' | 'token';

export interface DockerRegistry extends Started {
  readonly port: number;
  readonly origin: string;
  /** Of the token server; 0 without one. */
  readonly tokenPort: number;
  /** Tokens given so far. */
  readonly tokensGiven: () => number;
}

export const registryUser = { user: 'robot', password: 'p:ss w0rd' };

const basic = `Basic ${Buffer.from(`${registryUser.user}:${registryUser.password}`).toString('base64')}`;

export async function startDockerRegistry(auth: RegistryAuth = 'none'): Promise<DockerRegistry> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-registry-'));
  mkdirSync(join(folder, 'storage'));
  const port = await freePort();
  const tokens = auth === 'token' ? await startTokens(folder) : undefined;
  const lines = [
    'version: 0.1',
    'log: { level: error, accesslog: { disabled: true } }',
    `storage: { filesystem: { rootdirectory: ${join(folder, 'storage')} }, delete: { enabled: true } }`,
    `http: { addr: "127.0.0.1:${port}", secret: test }`,
    ...authLines(auth, folder, tokens?.port ?? 0),
  ];
  writeFileSync(join(folder, 'config.yml'), lines.join('\n'));
  const server = await startProcess({
    command: '/usr/bin/docker-registry',
    parameters: ['serve', join(folder, 'config.yml')],
    port,
    environment: { OTEL_TRACES_EXPORTER: 'none' },
  });
  const stop = async () => {
    await server.stop();
    tokens?.server.close();
    tokens?.server.closeAllConnections();
    rmSync(folder, { recursive: true });
  };
  return {
    port,
    origin: `http://127.0.0.1:${port}`,
    tokenPort: tokens?.port ?? 0,
    tokensGiven: () => tokens?.given() ?? 0,
    stop,
  };
}

function authLines(auth: RegistryAuth, folder: string, tokenPort: number): string[] {
  if (auth === 'htpasswd') {
    const { user, password } = registryUser;
    writeFileSync(join(folder, 'users'), execFileSync('/usr/bin/htpasswd', ['-niB', user], { input: password }));
    return [`auth: { htpasswd: { realm: models, path: ${join(folder, 'users')} } }`];
  }
  if (auth !== 'token') return [];
  const realm = `http://127.0.0.1:${tokenPort}/token`;
  const bundle = join(folder, 'certificate.pem');
  return [`auth: { token: { realm: "${realm}", service: models, issuer: tests, rootcertbundle: ${bundle} } }`];
}

interface Tokens {
  readonly server: Server;
  readonly port: number;
  readonly given: () => number;
}

/** Gives everybody with the password a token for what is asked, for five minutes. */
async function startTokens(folder: string): Promise<Tokens> {
  const keyFile = join(folder, 'key.pem');
  const made = ['-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=tests', '-days', '2', '-keyout', keyFile];
  execFileSync('/usr/bin/openssl', ['req', '-x509', ...made, '-out', join(folder, 'certificate.pem')], {
    stdio: 'ignore',
  });
  const key = createPrivateKey(readFileSync(keyFile));
  let given = 0;
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://tokens.invalid');
    if (request.headers.authorization !== basic) return void response.writeHead(401).end();
    given++;
    const [type, name, actions = ''] = (url.searchParams.get('scope') ?? '').split(':');
    const access = name === undefined ? [] : [{ type, name, actions: actions.split(',') }];
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      iss: 'tests',
      sub: 'robot',
      aud: url.searchParams.get('service'),
      nbf: now - 60,
      iat: now,
      exp: now + 300,
    };
    const token = tokenOf({ ...claims, jti: String(given), access }, key);
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ token, expires_in: 300 }));
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  return { server, port: (server.address() as AddressInfo).port, given: () => given };
}

function tokenOf(claims: unknown, key: KeyObject): string {
  const text = [{ typ: 'JWT', alg: 'RS256', kid: keyIdOf(key) }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  return `${text}.${sign('sha256', Buffer.from(text), key).toString('base64url')}`;
}

/** As libtrust names keys: 240 bits of the hash of the public one, in base32, twelve groups of four. */
function keyIdOf(key: KeyObject): string {
  const der = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const bits = [...createHash('sha256').update(der).digest().subarray(0, 30)]
    .map((byte) => byte.toString(2).padStart(8, '0'))
    .join('');
  const letters = bits.match(/.{5}/g)!.map((five) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'[Number.parseInt(five, 2)]);
  return letters.join('').match(/.{4}/g)!.join(':');
}
