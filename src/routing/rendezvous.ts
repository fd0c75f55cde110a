/**
 * The rule by which a key gets its variant, as this room takes it from the floor, where analysis finds the same one.
 *
 * Must not know requests or versions.
 */
export { type Candidate, candidatesOf, choose } from '../core/rendezvous.js';
