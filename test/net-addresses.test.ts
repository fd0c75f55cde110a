/** Which addresses a source may be reached at: every range of reliability.md §8 at its edges, in every disguise. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isAllowed, isAllowedWhenNamed, judge, rangesOf } from '../src/registry/net/addresses.js';

const kinds: Readonly<Record<string, readonly string[]>> = {
  public: [
    ...['1.1.1.1', '9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0', '126.255.255.255', '128.0.0.0'],
    ...['169.253.255.255', '169.255.0.0', '172.15.255.255', '172.32.0.0', '192.167.255.255', '192.169.0.0'],
    ...['198.17.255.255', '198.20.0.0', '223.255.255.255', '2606:4700::1111', '2a00::1', '64:ff9b::8.8.8.8'],
    '2002:808:808::1',
  ],
  loopback: ['127.0.0.1', '127.255.255.255', '::1', '::ffff:127.0.0.1', '64:ff9b::127.0.0.1', '::ffff:0:127.0.0.1'],
  private: [
    ...['10.0.0.0', '10.255.255.255', '172.16.0.0', '172.31.255.255', '192.168.0.0', '192.168.255.255'],
    ...['100.64.0.0', '100.127.255.255', 'fc00::', 'fdff:ffff::1', 'fec0::1', '::ffff:10.1.2.3', '::10.1.2.3'],
    ...['64:ff9b::c0a8:1', '2002:a00:1::', '::ffff:c0a8:0101'],
  ],
  'link-local': ['169.254.0.1', '169.254.255.255', 'fe80::1', 'febf::1', 'fe80::1%eth0', '::ffff:169.254.1.1'],
  metadata: [
    ...['169.254.169.254', '169.254.170.2', '169.254.170.23', '168.63.129.16', '100.100.100.200', '192.0.0.192'],
    ...['fd00:ec2::254', '::ffff:169.254.169.254', '64:ff9b::a9fe:a9fe', '2002:a9fe:a9fe::'],
  ],
  multicast: ['224.0.0.1', '239.255.255.255', 'ff02::1'],
  unspecified: ['0.0.0.0', '0.255.255.255', '::'],
  reserved: [
    ...['192.0.0.1', '192.0.2.1', '192.88.99.1', '198.18.0.1', '198.51.100.7', '203.0.113.9', '240.0.0.1'],
    ...['255.255.255.255', '2001:db8::1', '2001::1', '3fff::1', '64:ff9b:1::1', '4000::1', '100::1'],
  ],
};

for (const [kind, addresses] of Object.entries(kinds)) {
  test(`addresses are judged by their bytes: ${kind}`, () => {
    for (const address of addresses) assert.equal(judge(address).kind, kind, address);
  });
}

test('without a range of the operator only public addresses are allowed', () => {
  for (const [kind, addresses] of Object.entries(kinds)) {
    for (const address of addresses) assert.equal(isAllowed(judge(address), []), kind === 'public', address);
  }
});

test('a range lets its addresses through, also in disguise, and no others', () => {
  const ranges = rangesOf(['10.0.0.0/9', 'fd00::/8']);
  for (const address of ['10.127.255.255', '::ffff:10.0.0.1', 'fd12::1']) assert.ok(isAllowed(judge(address), ranges));
  for (const address of ['10.128.0.0', '192.168.0.1', 'fc00::1']) assert.ok(!isAllowed(judge(address), ranges));
});

test('a metadata address is let through only when it is named by itself', () => {
  const address = judge('169.254.169.254');
  for (const wide of ['0.0.0.0/0', '169.254.0.0/16', '169.254.169.254/31']) {
    assert.ok(!isAllowed(address, rangesOf([wide])), wide);
  }
  assert.ok(isAllowed(address, rangesOf(['169.254.169.254'])));
  assert.ok(isAllowed(address, rangesOf(['169.254.169.254/32'])));
});

test('an address that configuration names is allowed when it is loopback or private and undisguised', () => {
  for (const address of ['127.0.0.1', '::1', '10.0.0.1', 'fd12::1', '1.1.1.1']) {
    assert.ok(isAllowedWhenNamed(judge(address)), address);
  }
  for (const address of ['::ffff:127.0.0.1', '169.254.169.254', '169.254.1.1', '0.0.0.0', '224.0.0.1', '240.0.0.1']) {
    assert.ok(!isAllowedWhenNamed(judge(address)), address);
  }
});

test('what is no address or range is refused with its text', () => {
  for (const text of ['', 'localhost', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', '0x7f.1', '010.0.0.1', '::/129']) {
    assert.throws(() => rangesOf([text]), { code: 'INVALID_ARGUMENT' }, text);
  }
});
