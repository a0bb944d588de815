// The bundle as Grafana loads it: by define, with the packages handed over.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import test from 'node:test';
import vm from 'node:vm';

test('the bundle defines a data source plugin with its editors', () => {
  const set = {};
  class DataSourcePlugin {
    constructor(source) { set.source = source; }
    setConfigEditor(editor) { set.config = editor; return this; }
    setQueryEditor(editor) { set.query = editor; return this; }
  }
  class DataSourceWithBackend { constructor(settings) { this.settings = settings; } getResource(path, params) { return Promise.resolve([`${path} ${params.of}`]); } postResource(path, body) { return [path, body]; } }
  const packages = { react: {}, '@grafana/data': { DataSourcePlugin }, '@grafana/runtime': { DataSourceWithBackend, getTemplateSrv: () => ({ replace: (t) => t }) }, '@grafana/ui': {} };
  let exported;
  const define = (names, make) => { exported = make(...names.map((n) => { assert.ok(n in packages, n); return packages[n]; })); };
  vm.runInNewContext(fs.readFileSync(process.env.WEIR_MODULE, 'utf8'), { define });
  assert.ok(exported.plugin instanceof DataSourcePlugin);
  assert.equal(typeof set.config, 'function');
  assert.equal(typeof set.query, 'function');
  const source = new set.source({ uid: 'weir' });
  assert.deepEqual({ ...source.annotations }, {});
  const [path, body] = source.decide('decisions/lift', ['x'], '1h');
  assert.deepEqual([path, JSON.stringify(body)], ['decisions/lift', '{"ids":["x"],"for":"1h"}']);
  const minutes = 60_000;
  const kept = source.streamOptionsProvider({ range: { from: { valueOf: () => 0 }, to: { valueOf: () => 30 * minutes } } });
  assert.ok(kept.maxLength > 4 * 60 * 30 && kept.maxDelta === 30 * minutes);
});
