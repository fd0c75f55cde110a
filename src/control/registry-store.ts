/**
 * PART OF THE ROOT: the store under the limits of the configuration, and what is done to the bytes of a source on their way
 * into it.
 *
 * Must not know which versions come.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config/schema.js';
import type { Log } from '../log.js';
import { unpack } from '../registry/archive.js';
import { noTrust } from '../registry/signing/trust.js';
import { verifySignatures } from '../registry/signing/verify.js';
import type { PullHooks } from '../registry/store/pull-hooks.js';
import { Store, storeDefaults } from '../registry/store/store.js';
import { type SourceConfig, signatureModeOf } from './network-sources.js';
import type { ReadTrust } from './trust.js';

/** @throws GatewayError with one line that says what to do when it cannot be had */
export function openStore(
  { store }: Config['registry'],
  { log, epochNow, random }: { readonly log: Log; readonly epochNow: () => number; readonly random: () => number },
): Promise<Store> {
  return Store.open({
    ...storeDefaults,
    path: store.path,
    fileBytesMax: store.max_file_bytes,
    versionBytesMax: store.max_version_bytes,
    storeBytesMax: store.max_bytes,
    keepVersions: store.keep_versions,
    retry: {
      triesMax: storeDefaults.triesMax,
      sleep: (delayMs, signal) => sleep(delayMs, undefined, { signal }),
      random,
    },
    now: epochNow,
    report: (message) => log.warn('store', { message }),
  });
}

/** @param trust undefined = nobody is trusted */
export function hooksOf(source: SourceConfig, trust: ReadTrust | undefined, log: Pick<Log, 'warn'>): PullHooks {
  const mode = signatureModeOf(source);
  return {
    unpack,
    verify: async (directory, files, signatures, manifests) => {
      const verdict = await verifySignatures({
        directory,
        files,
        signatures,
        manifests,
        trust: trust ?? (async () => noTrust),
        policy: { mode },
      });
      if (mode === 'warn' && verdict.status !== 'signed' && trust !== undefined)
        log.warn('version.unsigned', { source: source.name, status: verdict.status, reason: verdict.reason });
      return verdict;
    },
  };
}
