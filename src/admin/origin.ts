/**
 * What a browser may be made to do by a page from elsewhere: nothing.
 *
 * On a loopback address without a token any page that an operator has open could send commands, and one whose name is made to
 * point here could read the answers. A browser says where a request comes from, in Origin, and whom it believes to talk to,
 * in Host; programs that are no browsers send no Origin.
 *
 * Must not know tokens or routes.
 */
import { isIP } from 'node:net';

type Header = (name: string) => string | undefined;

/**
 * Why the request is to be refused; undefined = it is not.
 * @param isOpen nobody has to present a token, so the name by which we were reached is all there is to look at
 */
export function foreignOrigin(header: Header, isOpen: boolean): string | undefined {
  const host = header('host') ?? '';
  const origin = header('origin');
  if (origin !== undefined && hostOf(origin) !== host.toLowerCase())
    return 'expected no Origin, or that of this address';
  if (isOpen && !isOfThisMachine(host)) return 'expected Host to be localhost or an address, because no token is set';
  return undefined;
}

function hostOf(origin: string): string {
  return /^https?:\/\/(.+)$/.exec(origin.toLowerCase())?.[1] ?? '';
}

/** A name can be made to point anywhere, an address cannot. */
function isOfThisMachine(host: string): boolean {
  const name = host.toLowerCase().replace(/:[0-9]{1,5}$/, '');
  return name === 'localhost' || name.endsWith('.localhost') || isIP(name.replace(/^\[(.*)\]$/, '$1')) !== 0;
}
