// The bundle as Grafana loads it: by define, with the packages handed over.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import test from 'node:test';
import vm from 'node:vm';

test('the bundle defines a data source plugin with its editors', async () => {
  const set = {};
  class DataSourcePlugin {
    constructor(source) { set.source = source; }
    setConfigEditor(editor) { set.config = editor; return this; }
    setQueryEditor(editor) { set.query = editor; return this; }
  }
  class DataSourceWithBackend { constructor(settings) { this.settings = settings; } getResource(path, params) { return Promise.resolve([`${path} ${params.of}`]); } postResource(path, body) { return [path, body]; } }
  const packages = { react: {}, '@grafana/data': { DataSourcePlugin }, '@grafana/runtime': { DataSourceWithBackend, getTemplateSrv: () => ({ replace: (t, _, format) => t.replace('$site', () => format(['a.example.org', "b'"])) }) }, '@grafana/ui': {} };
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
  const [, allowed] = source.allow('192.0.2.7', '24h', 'our monitor');
  assert.equal(JSON.stringify(allowed), '{"value":"192.0.2.7","for":"24h","reason":"our monitor"}');
  // Variables of a dashboard: what they offer, as text or as a query, and what they put in.
  for (const [asked, of] of [['edges', 'edges'], ['', 'sites'], [{ kind: 'values', by: 'incidents' }, 'incidents'], [{}, 'sites']]) {
    assert.equal(JSON.stringify(await source.metricFindQuery(asked)), JSON.stringify([{ text: `values ${of}`, value: `values ${of}` }]));
  }
  const filled = source.applyTemplateVariables({ refId: 'A', kind: 'sql', sites: ['$site'], sql: 'SELECT 1 WHERE site IN ($site)' }, {});
  assert.deepEqual([...filled.sites], ['a.example.org', "b'"]);
  assert.equal(filled.sql, "SELECT 1 WHERE site IN ('a.example.org', 'b\\'')");
  const minutes = 60_000;
  const kept = source.streamOptionsProvider({ range: { from: { valueOf: () => 0 }, to: { valueOf: () => 30 * minutes } } });
  assert.ok(kept.maxLength > 4 * 60 * 30 && kept.maxDelta === 30 * minutes);
});
