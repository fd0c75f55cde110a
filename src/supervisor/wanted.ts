/**
 * What is wanted of every gateway process: versions, the table by which it answers, settings, rules for tokens.
 *
 *   change ─▶ said to the processes that there are, and kept ─▶ sendTo(a process that starts later)
 *
 * Must not know whether it has been done.
 */
import type { VersionSpec } from '../core/model.js';
import { emptyTable, type RouteTable } from '../core/route.js';
import type { TokenRules } from '../core/token-rules.js';
import type { LiveSettings, ToGateway } from '../ipc.js';

export class Wanted {
  /** By the name of the instance. */
  readonly specs = new Map<string, VersionSpec>();
  table: RouteTable = emptyTable;
  settings: LiveSettings | undefined;
  tokens: TokenRules | undefined;

  /** Everything, in the order in which a process can obey it. */
  sendTo(child: { send(message: ToGateway): void }): void {
    if (this.settings !== undefined) child.send({ kind: 'settings', settings: this.settings });
    if (this.tokens !== undefined) child.send({ kind: 'tokens', rules: this.tokens });
    for (const spec of this.specs.values()) child.send({ kind: 'open', spec });
    child.send({ kind: 'route', table: this.table });
  }
}
