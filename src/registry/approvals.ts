/**
 * Whether a change to what serves has been agreed to by enough people: pure rules over plain values.
 *
 *   given ─▶ waits for others of its kind ─▶ used, once          expired, or bytes or configuration changed ─▶ void
 *
 * An approval is for exactly these bytes under exactly this configuration; it names both by their hash. Whoever approves has
 * proved elsewhere to be who they say, with the role that they say.
 *
 * Must not know how the state is stored or what an approval lets through.
 */
import { z } from 'zod';
import { GatewayError, invalid } from '../core/errors.js';
import { isModelName, isVersionText } from '../core/model.js';

/** What can be agreed to: entering a stage, or an incompatible change of inputs or outputs. */
export const approvalActions = ['shadow', 'canary', 'champion', 'breaking'] as const;

const hash = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 hex digits');
const person = z.string().min(1).max(256);
const time = z.iso.datetime();

const subject = {
  model: z.string().refine(isModelName, 'expected the name of a model'),
  version: z.string().refine(isVersionText, 'expected a version'),
  artifact_sha256: hash,
  config_hash: hash,
  action: z.enum(approvalActions),
};

const approval = z.strictObject({
  ...subject,
  approver: person,
  role: z.string().min(1).max(64),
  reason: z.string().max(4096),
  given: time,
  expires: time,
});

const breakGlass = z.strictObject({ ...subject, by: person, reason: z.string().min(1).max(4096), at: time });

const approvalsMax = 10_000;

/** The state document `approvals`. */
export const approvalsSchema = z.strictObject({
  approvals: z.array(approval).max(approvalsMax),
  /** Changes made without approval; kept, because every later listing of the version says so. */
  break_glass: z.array(breakGlass).max(approvalsMax),
});

export type Approval = Readonly<z.infer<typeof approval>>;
export type BreakGlass = Readonly<z.infer<typeof breakGlass>>;
export interface Approvals {
  readonly approvals: readonly Approval[];
  readonly break_glass: readonly BreakGlass[];
}

export const noApprovals: Approvals = { approvals: [], break_glass: [] };

/** The change that is to be made, as it is now. */
export type Change = Pick<Approval, 'model' | 'version' | 'artifact_sha256' | 'config_hash' | 'action'>;

export interface ApprovalPolicy {
  /** How many people; 0 = none need be asked. */
  readonly required: number;
  /** Roles that may approve. */
  readonly roles: readonly string[];
  readonly distinctFromRequester: boolean;
  readonly expiresS: number;
  /** They are asked also before a version gets a share of what a route is asked. */
  readonly isForCanary: boolean;
  /** Such a version must have a reference profile, or an owner must waive it. */
  readonly isProfileRequired: boolean;
}

/** How many people must agree; 0 = none need be asked. */
export function requiredFor({ required, isForCanary }: ApprovalPolicy, action: Change['action']): number {
  return action === 'canary' && !isForCanary ? 0 : required;
}

/** Whether there is anything that a policy asks for, or that an owner could pass over. */
export function isAsked(policy: ApprovalPolicy, action: Change['action']): boolean {
  return requiredFor(policy, action) > 0 || (action === 'canary' && policy.isProfileRequired);
}

export interface ApprovalVerdict {
  readonly isApproved: boolean;
  /** Those that let it through, to be given to `use`; or those there are. */
  readonly by: readonly Approval[];
  /** What is missing, as a sentence; empty when nothing is. */
  readonly reason: string;
}

/** Whether `change`, asked for by `requester`, may be made. */
export function judge(
  state: Approvals,
  change: Change,
  asked: { readonly policy: ApprovalPolicy; readonly requester: string; readonly now: number },
): ApprovalVerdict {
  const { policy, requester, now } = asked;
  const byPerson = new Map<string, Approval>();
  for (const one of state.approvals) {
    if (!isOf(one, change) || !isInForce(one, now) || !policy.roles.includes(one.role)) continue;
    if (policy.distinctFromRequester && one.approver === requester) continue;
    byPerson.set(one.approver, one);
  }
  const by = [...byPerson.values()].slice(0, policy.required);
  if (by.length === policy.required) return { isApproved: true, by, reason: '' };
  const who = `${policy.roles.join(' or ')}${policy.distinctFromRequester ? ` other than ${requester}` : ''}`;
  const reason = `${nameOf(change)} needs ${policy.required} approvals by ${who}, got ${by.length}`;
  return { isApproved: false, by, reason };
}

/** What a change still lacks, each as a line with the command that gives it; empty = it may be made. */
export function lacking(
  state: Approvals,
  change: Change,
  asked: {
    readonly policy: ApprovalPolicy;
    readonly requester: string;
    readonly now: number;
    readonly hasProfile: boolean;
  },
): string[] {
  const { policy, hasProfile } = asked;
  const { model, version, action } = change;
  if (isPassedOver(state, change)) return [];
  const command = `sluice models approve ${model}@${version}${action === 'champion' ? '' : ` --${action}`}`;
  const lines: string[] = [];
  if (action === 'canary' && policy.isProfileRequired && !hasProfile) {
    const ways = `make one by sluice profile build, or an owner waives it by ${command} --break-glass --reason …`;
    lines.push(`${nameOf(change)} needs a reference profile in its manifest: ${ways}`);
  }
  if (requiredFor(policy, action) > 0) {
    const { isApproved, reason } = judge(state, change, asked);
    if (!isApproved) lines.push(`${reason}: ${command}`);
  }
  return lines;
}

/** An owner has let these bytes make this change under this configuration without what else it would need. */
export function isPassedOver({ break_glass }: Approvals, change: Change): boolean {
  return break_glass.some((one) => isOf(one, change));
}

/**
 * The approvals with one more; a person's earlier one for the same change gives way.
 * @throws PERMISSION_DENIED for a role that may not approve, or a requester who may not approve their own request
 * @throws RESOURCE_EXHAUSTED when too many are kept
 */
export function give(
  state: Approvals,
  change: Change,
  given: Pick<Approval, 'approver' | 'role' | 'reason'> & {
    readonly policy: ApprovalPolicy;
    readonly requester: string;
    readonly now: number;
  },
): { readonly next: Approvals; readonly approval: Approval } {
  const { approver, role, reason, policy, requester, now } = given;
  if (!policy.roles.includes(role)) {
    throw denied(`expected one of the roles ${policy.roles.join(', ')} to approve ${nameOf(change)}, got ${role}`);
  }
  if (policy.distinctFromRequester && approver === requester) {
    throw denied(`${approver} asked for ${nameOf(change)} and cannot approve it`);
  }
  const expires = new Date(now + policy.expiresS * 1000).toISOString();
  const entry = { ...subjectOf(change), approver, role, reason, given: new Date(now).toISOString(), expires };
  const approvalGiven = checked(approval, entry);
  const others = state.approvals.filter((one) => !(isOf(one, change) && one.approver === approver));
  if (others.length >= approvalsMax) {
    throw new GatewayError('RESOURCE_EXHAUSTED', `${approvalsMax} approvals are kept already`);
  }
  return { next: { ...state, approvals: [...others, approvalGiven] }, approval: approvalGiven };
}

/** The approvals without those that let a change through: each is used once. */
export function use(state: Approvals, used: readonly Approval[]): Approvals {
  return { ...state, approvals: state.approvals.filter((one) => !used.includes(one)) };
}

/** How a version is now. */
export type Standing = Pick<Approval, 'model' | 'version' | 'artifact_sha256' | 'config_hash'>;

/** The approvals without those of `standing`'s version that were for other bytes or another configuration, and these. */
export function voidChanged(
  state: Approvals,
  standing: Standing,
): { readonly next: Approvals; readonly voided: readonly Approval[] } {
  const isVoid = (one: Approval) =>
    one.model === standing.model &&
    one.version === standing.version &&
    (one.artifact_sha256 !== standing.artifact_sha256 || one.config_hash !== standing.config_hash);
  return split(state, isVoid);
}

/** The approvals without those whose time is over, and these. */
export function voidExpired(
  state: Approvals,
  now: number,
): { readonly next: Approvals; readonly voided: readonly Approval[] } {
  return split(state, (one) => !isInForce(one, now));
}

/**
 * Notes that `change` is made without the approvals it needs.
 * @throws PERMISSION_DENIED unless an owner does it
 * @throws INVALID_ARGUMENT without a reason
 */
export function breakTheGlass(
  state: Approvals,
  change: Change,
  done: { readonly by: string; readonly role: string; readonly reason: string; readonly now: number },
): { readonly next: Approvals; readonly entry: BreakGlass } {
  const { by, role, reason, now } = done;
  if (role !== 'owner')
    throw denied(`expected the role owner to pass over approvals of ${nameOf(change)}, got ${role}`);
  if (reason.trim() === '') throw invalid(`expected a reason for passing over the approvals of ${nameOf(change)}`);
  const entry = checked(breakGlass, { ...subjectOf(change), by, reason, at: new Date(now).toISOString() });
  if (state.break_glass.length >= approvalsMax) {
    throw new GatewayError('RESOURCE_EXHAUSTED', `${approvalsMax} changes without approval are kept already`);
  }
  return { next: { ...state, break_glass: [...state.break_glass, entry] }, entry };
}

/** Digests that an approval in force waits for: the store keeps their bytes. */
export function awaited(state: Approvals, now: number): ReadonlySet<string> {
  return new Set(state.approvals.filter((one) => isInForce(one, now)).map((one) => one.artifact_sha256));
}

function split(
  state: Approvals,
  isVoid: (one: Approval) => boolean,
): { readonly next: Approvals; readonly voided: readonly Approval[] } {
  const voided = state.approvals.filter(isVoid);
  if (voided.length === 0) return { next: state, voided };
  return { next: { ...state, approvals: state.approvals.filter((one) => !isVoid(one)) }, voided };
}

/** Whether both are for the same bytes under the same configuration, and for the same. */
export function isOf(one: Change, change: Change): boolean {
  return (
    one.model === change.model &&
    one.version === change.version &&
    one.artifact_sha256 === change.artifact_sha256 &&
    one.config_hash === change.config_hash &&
    one.action === change.action
  );
}

function isInForce(one: Approval, now: number): boolean {
  return Date.parse(one.expires) > now;
}

function subjectOf({ model, version, artifact_sha256, config_hash, action }: Change): Change {
  return { model, version, artifact_sha256, config_hash, action };
}

function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  throw invalid(`approval: '${path.join('.')}': ${message}`);
}

function nameOf({ action, model, version }: Change): string {
  return `${action} of ${model}@${version}`;
}

function denied(message: string): GatewayError {
  return new GatewayError('PERMISSION_DENIED', message);
}
