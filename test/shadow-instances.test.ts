/** The instances that shadows run on follow the table and the versions that are open. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { routes as schema } from '../src/config/routes.js';
import { ShadowInstances, shadowedVersions } from '../src/control/shadows.js';
import { nameOf, type VersionSpec } from '../src/core/model.js';
import { emptyTable, type RouteTable } from '../src/core/route.js';
import { planOf } from '../src/core/shadow-plan.js';

const specOf = (version: string) =>
  ({ id: { model: 'm', version }, rank: 'primary', instances: 4 }) as unknown as VersionSpec;

function tableOf(...versions: string[]): RouteTable {
  const shadows = versions.map((version) => planOf({ route: 'm', name: version, version: { model: 'm', version } }));
  return { ...emptyTable, routes: { m: { model: 'm', versions: [], champion: '1', labels: {}, shadows } } };
}

function instancesOf(broken: readonly string[] = []) {
  const done: string[] = [];
  const faults: string[] = [];
  const instances = new ShadowInstances({
    open: async ({ id, role, rank, instances: threads }) => {
      done.push(`open ${nameOf(id)} ${role} ${rank} ${threads}`);
      if (broken.includes(nameOf(id))) throw new Error('no memory');
    },
    drain: async (id) => void done.push(`drain ${nameOf(id)}`),
    report: (id, error) => faults.push(`${nameOf(id)} ${error.message}`),
  });
  const settled = async () => {
    await instances.settled();
    return done.splice(0);
  };
  return { instances, settled, faults };
}

test('a shadow gets one thread in the background beside the version itself, as soon as both are wanted and open', async () => {
  const { instances, settled } = instancesOf();
  instances.opened(specOf('1'));
  instances.publish(tableOf('2'));
  assert.deepEqual(await settled(), [], 'version 2 is not there yet');
  instances.opened(specOf('2'));
  assert.deepEqual(await settled(), ['open m@2 shadow background 1']);
  instances.publish(tableOf('2'));
  assert.deepEqual(await settled(), [], 'it is as it must be');
  instances.publish(tableOf('1'));
  assert.deepEqual(await settled(), ['drain m@2', 'open m@1 shadow background 1']);
});

test('it goes with its version, and is opened anew when the version is', async () => {
  const { instances, settled } = instancesOf();
  instances.opened(specOf('2'));
  instances.publish(tableOf('2'));
  await settled();
  instances.opened(specOf('2'));
  assert.deepEqual(await settled(), ['open m@2 shadow background 1']);
  instances.closed({ model: 'm', version: '2' });
  assert.deepEqual(await settled(), ['drain m@2']);
});

test('one that hangs is dropped, once, until its version is opened anew', async () => {
  const { instances, settled } = instancesOf();
  const id = { model: 'm', version: '2' };
  instances.opened(specOf('2'));
  instances.publish(tableOf('2'));
  await settled();
  assert.deepEqual([instances.drop(id), instances.drop(id)], [true, false]);
  assert.deepEqual(await settled(), ['drain m@2']);
  instances.publish(tableOf('2'));
  assert.deepEqual(await settled(), []);
  instances.opened(specOf('2'));
  assert.deepEqual(await settled(), ['open m@2 shadow background 1']);
});

test('one that cannot be opened is told and leaves the others alone', async () => {
  const { instances, settled, faults } = instancesOf(['m@2']);
  instances.opened(specOf('2'));
  instances.opened(specOf('3'));
  instances.publish(tableOf('2', '3'));
  assert.deepEqual(await settled(), ['open m@2 shadow background 1', 'open m@3 shadow background 1']);
  assert.deepEqual(faults, ['m@2 no memory']);
});

test('what a route names as a shadow only is not what answers by default; a variant is', () => {
  const routes = schema.parse(
    parse(`
m:
  key: [header:x-user]
  default: a
  variants: { a: { version: "2", weight: 1 }, b: { version: "3", weight: 1 } }
  shadows: [{ name: next, version: "3" }, { name: last, version: "4" }, { name: other, model: n, version: "1" }]
`),
  );
  assert.deepEqual(shadowedVersions(routes, 'm'), ['4']);
  assert.deepEqual(shadowedVersions(routes, 'n'), [], 'the route of another model decides nothing about this one');
});
