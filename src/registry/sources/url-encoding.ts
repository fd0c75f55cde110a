/**
 * The strict encoding of one segment of a path or one part of a query: everything but letters, digits and `-._~`.
 *
 * Must not know what is named by it.
 */

/** Also what encodeURIComponent leaves (`!'()*`), because S3 signs it encoded. */
export function encoded(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (letter) => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
