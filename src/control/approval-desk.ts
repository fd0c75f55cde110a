/**
 * PART OF THE ROOT: approvals of versions: who agreed, written down before it counts, and whether that is enough for a version
 * to answer by default, or to get a share of a route.
 *
 *   approve() ─▶ audit log ─▶ kept ─ withheld() asks the rule ─▶ let in ─ used() ─▶ audit log ─▶ gone
 *
 * An approval is for these bytes under this configuration. A version that answered before needs none to answer again, or there
 * would be no way back in a hurry.
 *
 * Must not know the rule, or how a version is published.
 */
import type { AuditLog } from '../audit/log.js';
import type { Config } from '../config/schema.js';
import { GatewayError } from '../core/errors.js';
import { nameOf, type VersionId, type VersionSpec } from '../core/model.js';
import { ownOf } from '../core/own.js';
import {
  type Approval,
  type ApprovalPolicy,
  type Approvals,
  approvalsSchema,
  awaited,
  breakTheGlass,
  type Change,
  give,
  isAsked,
  isOf,
  isPassedOver,
  lacking,
  noApprovals,
  requiredFor,
  use,
  voidChanged,
  voidExpired,
} from '../registry/approvals.js';
import type { Registry } from '../registry/registry.js';
import { StateDocument, type StateFolder } from '../registry/store/state.js';
import { hasAnswered } from '../registry/versions.js';
import type { ShareRules } from './route-stages.js';
import { configHashOf } from './written-down.js';

export interface ApprovalTools {
  readonly audit: AuditLog;
  readonly config: () => Config;
  readonly epochNow: () => number;
}

/** Somebody who asked, and proved elsewhere to be who they say. */
export interface Person {
  readonly name: string;
  /** As their token has it. */
  readonly role: 'feedback' | 'viewer' | 'operator' | 'admin';
}

type Action = Exclude<Change['action'], 'shadow'>;

/** Tokens are for what may be done, approvals are by who answers for it. */
const approvalRoleOf = { feedback: 'viewer', viewer: 'viewer', operator: 'reviewer', admin: 'owner' } as const;

export class ApprovalDesk {
  readonly #tools: ApprovalTools;
  readonly #document: StateDocument<Approvals>;

  private constructor(tools: ApprovalTools, document: StateDocument<Approvals>) {
    this.#tools = tools;
    this.#document = document;
  }

  static async open(state: StateFolder, tools: ApprovalTools): Promise<ApprovalDesk> {
    return new ApprovalDesk(
      tools,
      await StateDocument.open<Approvals>(state, 'approvals', approvalsSchema, noApprovals),
    );
  }

  /** Why a change must not be made to a version yet, in one line; empty = it may. @param requester whoever asks for it */
  withheld(id: VersionId, spec: VersionSpec | undefined, requester: string, action: Action = 'champion'): string {
    const policy = this.#policyOf(id.model);
    if (policy === undefined || !isAsked(policy, action)) return '';
    const change = this.#changeOf(id, spec, action);
    if (change === undefined) {
      const command = `sluice models pin ${id.model} ${id.version}`;
      return `it waits for approval, and its content is not known before it is opened: ${command}`;
    }
    const now = this.#tools.epochNow();
    const hasProfile = spec?.profile !== undefined;
    const lines = lacking(this.#document.value, change, { policy, requester, now, hasProfile });
    return lines.length === 0 ? '' : `it waits for approval: ${lines.join('; ')}`;
  }

  /** An owner has waived what entering a stage would need. */
  isWaived(id: VersionId, spec: VersionSpec | undefined, action: Action): boolean {
    const change = this.#changeOf(id, spec, action);
    return change !== undefined && isPassedOver(this.#document.value, change);
  }

  /**
   * Somebody agrees to a change.
   * @param given.isBreakGlass they pass over the others who would have to agree
   * @throws FAILED_PRECONDITION when there is nothing to approve; PERMISSION_DENIED when they may not; INVALID_ARGUMENT
   */
  async approve(
    id: VersionId,
    spec: VersionSpec | undefined,
    by: Person,
    given: { readonly reason: string; readonly action: Action; readonly isBreakGlass: boolean },
  ): Promise<void> {
    const { audit, epochNow } = this.#tools;
    const { reason, action, isBreakGlass } = given;
    const policy = this.#policyOf(id.model);
    const isNeeded = policy !== undefined && (isBreakGlass ? isAsked(policy, action) : requiredFor(policy, action) > 0);
    if (!isNeeded)
      throw new GatewayError(
        'FAILED_PRECONDITION',
        `${action} of model '${id.model}' needs no approvals: model_overrides.${id.model}.approvals asks for none`,
      );
    const change = this.#changeOf(id, spec, action);
    if (change === undefined)
      throw new GatewayError('FAILED_PRECONDITION', `${nameOf(id)} was not opened yet, so there is nothing to approve`);
    await this.#voidOld(change);
    const role = approvalRoleOf[by.role];
    const now = epochNow();
    const state = this.#document.value;
    if (isBreakGlass) {
      const { entry } = breakTheGlass(state, change, { by: by.name, role, reason, now });
      await audit.append('break_glass', nameOf(id), { ...entry }, by.name);
      return this.#document.change((all) => ({ ...all, break_glass: [...all.break_glass, entry] }));
    }
    const approval = { approver: by.name, role, reason, policy, requester: '', now };
    const { approval: entry } = give(state, change, approval);
    await audit.append('approval.given', nameOf(id), { ...entry }, by.name);
    await this.#document.change((all) => give(all, change, approval).next);
  }

  /** These changes are about to be made: approvals that let them are used up. @throws when that cannot be written down */
  async used(id: VersionId, spec: VersionSpec | undefined, actions: readonly Action[]): Promise<void> {
    const found = actions.flatMap((action) => {
      const change = this.#changeOf(id, spec, action);
      return change === undefined ? [] : this.#document.value.approvals.filter((one) => isOf(one, change));
    });
    if (found.length === 0) return;
    await this.#tools.audit.append('approval.used', nameOf(id), { approvals: found.map((one) => ({ ...one })) });
    await this.#document.change((all) => use(all, found));
  }

  /** Approvals that wait to be used, and those that were passed over, of one version. */
  of({ model, version }: VersionId): Approvals {
    const isIts = (one: VersionId) => one.model === model && one.version === version;
    const { approvals, break_glass } = this.#document.value;
    return { approvals: approvals.filter(isIts), break_glass: break_glass.filter(isIts) };
  }

  /** Digests of versions that approvals wait for. */
  awaited(): ReadonlySet<string> {
    return awaited(this.#document.value, this.#tools.epochNow());
  }

  /** What was for other bytes, another configuration, or another time. */
  async #voidOld(change: Change): Promise<void> {
    const { audit, epochNow } = this.#tools;
    const changed = voidChanged(this.#document.value, change);
    const expired = voidExpired(changed.next, epochNow());
    const voided: readonly Approval[] = [...changed.voided, ...expired.voided];
    if (voided.length === 0) return;
    for (const one of voided) await audit.append('approval.voided', nameOf(one), { ...one });
    await this.#document.change((all) => use(all, voided));
  }

  #policyOf(model: string): ApprovalPolicy | undefined {
    const policy = ownOf(this.#tools.config().model_overrides, model)?.approvals;
    if (policy === undefined) return undefined;
    const { required, roles, distinct_from_requester: distinctFromRequester, expires_s: expiresS } = policy;
    const [isForCanary, isProfileRequired] = [policy.canary === 'require', policy.profile === 'require'];
    return { required, roles, distinctFromRequester, expiresS, isForCanary, isProfileRequired };
  }

  #changeOf({ model, version }: VersionId, spec: VersionSpec | undefined, action: Action): Change | undefined {
    const sha256 = spec?.artifact?.sha256;
    if (sha256 === undefined) return undefined;
    const config_hash = configHashOf(model, this.#tools.config());
    return { model, version, artifact_sha256: sha256, config_hash, action };
  }
}

/** Who may get a share of a route: whatever answers by default, or did before, and whoever was agreed to. */
export function sharesOf(desk: ApprovalDesk, registry: () => Pick<Registry, 'models' | 'specOf'>): ShareRules {
  const isDefault = ({ model: name, version }: VersionId) =>
    [...registry().models()].some((model) => model.name === name && hasAnswered(model, version));
  return {
    contentOf: (id) => registry().specOf(id)?.artifact?.sha256,
    withheld: (id, requester) => (isDefault(id) ? '' : desk.withheld(id, registry().specOf(id), requester, 'canary')),
    used: (id) => desk.used(id, registry().specOf(id), ['canary']),
  };
}
