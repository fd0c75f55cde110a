/**
 * gRPC server reflection: which services there are, and the descriptors of their files.
 *
 * The proto loader makes one file of each package, so the file of a symbol is the one whose package the symbol begins with.
 *
 * Must not know the gRPC library or the services.
 */
import { statusOf } from './status.js';
import { WireReader } from './wire.js';

/** What is needed of a FileDescriptorProto. */
interface File {
  readonly name: string;
  readonly package: string;
  readonly dependencies: readonly string[];
  readonly bytes: Buffer;
}

interface Question {
  readonly message_request?: string;
  readonly file_by_filename?: string;
  readonly file_containing_symbol?: string;
}

const nameBytesMax = 4096;

/**
 * @param services full names
 * @param descriptors FileDescriptorProto messages, repeated ones are told apart by their name
 * @returns the answer to one ServerReflectionRequest
 */
export function createReflection(
  services: readonly string[],
  descriptors: readonly Buffer[],
): (question: Question) => object {
  const files = new Map<string, File>();
  for (const bytes of descriptors) {
    const file = readFile(bytes);
    files.set(file.name, file);
  }
  const bySymbol = (symbol: string): File | undefined => {
    let best: File | undefined;
    for (const file of files.values()) {
      const fits = symbol === file.package || symbol.startsWith(`${file.package}.`);
      if (fits && file.package.length > (best?.package.length ?? -1)) best = file;
    }
    return best;
  };
  return (question) => {
    const answer = { valid_host: '', original_request: question };
    switch (question.message_request) {
      case 'list_services':
        return { ...answer, list_services_response: { service: services.map((name) => ({ name })) } };
      case 'file_by_filename':
        return { ...answer, ...filesFrom(files.get(question.file_by_filename!), files) };
      case 'file_containing_symbol':
        return { ...answer, ...filesFrom(bySymbol(question.file_containing_symbol!), files) };
      default:
        return { ...answer, ...notFound };
    }
  };
}

const notFound = { error_response: { error_code: statusOf.NOT_FOUND, error_message: 'not found' } };

/** A file with all that it needs. */
function filesFrom(first: File | undefined, files: ReadonlyMap<string, File>): object {
  if (first === undefined) return notFound;
  const found = new Set([first]);
  for (const file of found) {
    for (const name of file.dependencies) {
      const dependency = files.get(name);
      if (dependency !== undefined) found.add(dependency);
    }
  }
  return { file_descriptor_response: { file_descriptor_proto: [...found].map(({ bytes }) => bytes) } };
}

function readFile(bytes: Buffer): File {
  const reader = new WireReader(bytes);
  const dependencies: string[] = [];
  let name = '';
  let packageName = '';
  for (let tag = reader.field(); tag !== 0; tag = reader.field()) {
    if (tag === 10) name = reader.text(nameBytesMax, 'name');
    else if (tag === 18) packageName = reader.text(nameBytesMax, 'package');
    else if (tag === 26) dependencies.push(reader.text(nameBytesMax, 'dependency'));
    else reader.skip(tag);
  }
  return { name, package: packageName, dependencies, bytes };
}
