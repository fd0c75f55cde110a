/**
 * Options that are each right and yet do not go together.
 *
 * Must not know where values come from.
 */
import { type ClaimPlace, unreadableClaims, unreadableTenants } from './claim-places.js';
import type { Config } from './schema.js';

/** @returns one line for each disagreement, under the option to look at */
export function checkTogether(config: Config): { path: string; message: string }[] {
  return [
    ...portsTwice(config),
    ...openControl(config),
    ...priorities(config),
    ...beats(config),
    ...keyless(config),
    ...unreadableClaims(config).map(under('routes')),
    ...unreadableTenants(config).map(under('quotas.key')),
  ];
}

function under(option: string) {
  return ({ path, message }: ClaimPlace) => ({ path: option, message: `${path}: ${message}` });
}

function portsTwice({ http, grpc, admin }: Config): { path: string; message: string }[] {
  const doors = [
    { path: 'http.port', ...http },
    { path: 'grpc.port', ...grpc },
    { path: 'admin.port', ...admin },
  ].filter((door) => door.enabled && door.port !== 0);
  return doors.flatMap((door, index) => {
    const same = doors.slice(0, index).find((other) => other.port === door.port);
    return same === undefined
      ? []
      : [{ path: door.path, message: `expected another port than ${same.path}, got ${door.port} for both` }];
  });
}

/** Only this machine reaches it. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}$/.test(host);
}

function openControl({ admin }: Config): { path: string; message: string }[] {
  const hasToken = admin.token !== '' || Object.keys(admin.tokens).length > 0;
  if (!admin.enabled || isLoopback(admin.host) || hasToken) return [];
  return [
    {
      path: 'admin.host',
      message: `expected a loopback address, or admin.token or admin.tokens to be set, got ${admin.host} without a token`,
    },
  ];
}

function priorities({ model_overrides }: Config): { path: string; message: string }[] {
  return Object.entries(model_overrides).flatMap(([model, { priority, priority_levels }]) => {
    if (priority === undefined || priority_levels === undefined || priority <= Math.max(1, priority_levels)) return [];
    const message = `${model}.priority: expected at most priority_levels (${priority_levels}), got ${priority}`;
    return [{ path: 'model_overrides', message }];
  });
}

function beats({ gateway }: Config): { path: string; message: string }[] {
  if (gateway.beat_timeout_ms >= 2 * gateway.beat_ms) return [];
  const message = `expected at least twice gateway.beat_ms (${gateway.beat_ms}), got ${gateway.beat_timeout_ms}`;
  return [{ path: 'gateway.beat_timeout_ms', message }];
}

function keyless({ registry }: Config): { path: string; message: string }[] {
  const { trusted_root, identities } = registry;
  if ((trusted_root === '') === (identities.length === 0)) return [];
  if (trusted_root === '') {
    const message = 'expected registry.trusted_root beside it, the file of the authorities that give certificates';
    return [{ path: 'registry.identities', message }];
  }
  const message = 'expected registry.identities beside it, because its authorities give certificates to everybody';
  return [{ path: 'registry.trusted_root', message }];
}
