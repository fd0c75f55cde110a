/**
 * Requests that the proto loader decodes: looked over first, because it decodes whatever it is given, and refused with our
 * text, because it throws its own.
 *
 * Must not know what a message means.
 */
import { decodeRepositoryMessage } from './repository.js';
import { checkFields, malformed } from './wire.js';

/** Chosen: requests beside inference and load are names and settings. */
const plainBytesMax = 65_536;

/** @throws INVALID_ARGUMENT `failed to parse request: …` */
export type Decode = (bytes: Buffer) => object;

export function decoderOf(name: string, method: { readonly requestDeserialize: (bytes: Buffer) => object }): Decode {
  if (name === 'RepositoryModelLoad' || name === 'RepositoryModelUnload') return decodeRepositoryMessage;
  return (bytes) => {
    checkFields(bytes, plainBytesMax);
    try {
      return method.requestDeserialize(bytes);
    } catch (thrown) {
      throw malformed(thrown instanceof Error ? thrown.message : 'invalid message');
    }
  };
}
