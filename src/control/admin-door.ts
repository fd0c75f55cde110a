/**
 * PART OF THE ROOT: the control port, open: what the admin API may call, behind HTTP.
 *
 * Must not know what an operation does.
 */
import { Admin, type AdminOptions, type AdminReply } from '../admin/api.js';
import { Keyring } from '../admin/auth.js';
import { exactJson } from '../admin/json.js';
import type { Config } from '../config/schema.js';
import { listenNode } from '../http/node.js';
import { statusOf } from '../http/status.js';
import type { Log } from '../log.js';
import type { ControlCounts } from './counts.js';

/** What the admin API may call. */
type Called = Pick<
  AdminOptions,
  'version' | 'now' | 'metrics' | 'activity' | 'state' | 'served' | 'relay' | 'operate' | 'hook'
>;

export interface AdminDoorOptions extends Called {
  readonly config: Pick<Config, 'admin' | 'http'>;
  readonly counts: ControlCounts;
  readonly log: Log;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export async function openAdminDoor({ config, counts, log, environment, ...called }: AdminDoorOptions): Promise<void> {
  const { admin: options, http } = config;
  if (!options.enabled) return;
  const admin = new Admin({
    ...called,
    keyring: new Keyring(options, environment),
    isMetricsOpen: options.metrics_open,
    onRefused: ({ isOneOfMany, ...refused }) => {
      counts.securityEvents.add([refused.kind]);
      counts.authFailures.add([refused.kind.replace(/^admin_/, '')]);
      if (!isOneOfMany) log.warn('admin.refused', { ...refused });
    },
    onMalformed: (malformed) => log.warn('admin.malformed', { ...malformed }),
    jsonText: exactJson,
    statusOf,
  });
  const door = await listenNode(
    (request) => {
      const { method, path, query, peer } = request;
      const header = (name: string) => request.header(name);
      const admitted = admin.admit({ method, path, query, peer, header });
      if (!('answer' in admitted)) return responseOf(admitted);
      return {
        consume: async (body) => responseOf(await admitted.answer(body)),
        refuse: (status, error) => responseOf(admitted.refuse(status, error)),
      };
    },
    {
      host: options.host,
      port: options.port,
      engine: 'node',
      now: called.now,
      bodyBytesMax: http.max_input_size,
      bufferedBytesMax: http.max_buffered_bytes,
      bodyTimeoutMs: http.body_timeout_ms,
      writeTimeoutMs: http.write_timeout_ms,
    },
  );
  log.info('listening', { admin: `http://${options.host}:${door.port}` });
}

function responseOf({ status, contentType, body, headers }: AdminReply) {
  return { status, headers: [['Content-Type', contentType], ...headers] as [string, string][], body };
}
