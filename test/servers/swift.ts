/**
 * OpenStack Swift from its Debian packages, answering the S3 API: one proxy, one server each for accounts, containers and
 * objects, memcached, and rings with one replica on one device. Written by others, it checks signatures for itself.
 *
 * Needs a file system with extended attributes for its folder, and path-style addresses.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { freePort, type Started, skipWithout, startProcess } from './debian.js';

const kinds = ['account', 'container', 'object'] as const;
const binaries = ['proxy', ...kinds].map((kind) => `/usr/bin/swift-${kind}-server`);

export const swiftSkip = skipWithout(
  [...binaries, '/usr/bin/memcached'],
  'swift-proxy swift-account swift-container swift-object python3-swift memcached',
);

export interface Swift extends Started {
  readonly port: number;
}

export const swiftUser = { accessKeyId: 'test:tester', secretAccessKey: 'testing' };

export async function startSwift(): Promise<Swift> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-swift-'));
  const [proxyPort, cachePort, ...storagePorts] = await freePorts(2 + kinds.length);
  mkdirSync(join(folder, 'devices', 'd1'), { recursive: true });
  writeFileSync(join(folder, 'swift.conf'), swiftConf);
  writeFileSync(join(folder, 'proxy.conf'), proxyConf(folder, proxyPort!, cachePort!));
  for (const [index, kind] of kinds.entries()) {
    writeFileSync(join(folder, `${kind}.conf`), storageConf(kind, folder, storagePorts[index]!));
  }
  execFileSync('/usr/bin/python3', ['-c', rings, folder, ...storagePorts.map(String)]);
  const serve = (kind: string, port: number) =>
    startProcess({
      command: `/usr/bin/swift-${kind}-server`,
      parameters: [join(folder, `${kind}.conf`), '--verbose'],
      port,
    });
  const { username } = userInfo();
  const servers = await Promise.all([
    startProcess({
      command: '/usr/bin/memcached',
      parameters: ['-l', '127.0.0.1', '-p', String(cachePort), '-U', '0', '-u', username],
      port: cachePort!,
    }),
    ...kinds.map((kind, index) => serve(kind, storagePorts[index]!)),
    serve('proxy', proxyPort!),
  ]);
  const stop = async () => {
    await Promise.all(servers.map((server) => server.stop()));
    rmSync(folder, { recursive: true });
  };
  return { port: proxyPort!, stop };
}

/** Keys in one page of a listing, so few that a handful of objects needs several pages. */
export const swiftPageKeys = 5;

async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await freePort());
  return [...ports];
}

const rings = `
import sys
from swift.common.ring import RingBuilder
folder = sys.argv[1]
for kind, port in zip(('account', 'container', 'object'), sys.argv[2:]):
    builder = RingBuilder(4, 1, 1)
    builder.add_dev({'region': 1, 'zone': 1, 'weight': 1, 'ip': '127.0.0.1', 'port': int(port), 'device': 'd1'})
    builder.rebalance()
    builder.get_ring().save('%s/%s.ring.gz' % (folder, kind))
`;

const swiftConf = `
[swift-hash]
swift_hash_path_suffix = test
swift_hash_path_prefix = test
[storage-policy:0]
name = only
default = yes
`;

const common = (folder: string, port: number) => `
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = ${port}
workers = 0
user = ${userInfo().username}
swift_dir = ${folder}
log_level = ERROR
`;

const storageConf = (kind: string, folder: string, port: number) => `${common(folder, port)}
devices = ${folder}/devices
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
[pipeline:main]
pipeline = ${kind}-server
[app:${kind}-server]
use = egg:swift#${kind}
`;

const proxyConf = (folder: string, port: number, cachePort: number) => `${common(folder, port)}
[pipeline:main]
pipeline = catch_errors gatekeeper cache listing_formats s3api tempauth proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:${cachePort}
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
s3_acl = no
max_bucket_listing = ${swiftPageKeys}
allow_multipart_uploads = no
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
user_test_reader = reading
`;
