/**
 * The token of this tab: kept in its session storage, gone with it.
 *
 * Must not know what is asked with it.
 */

const place = 'sluice.token';

export function tokenOfTab() {
  return sessionStorage.getItem(place) ?? '';
}

/** @param {string} token empty = forget it */
export function keepToken(token) {
  if (token === '') sessionStorage.removeItem(place);
  else sessionStorage.setItem(place, token);
}
