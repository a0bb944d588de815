// The editors of the built bundle, with React itself and stand-ins for Grafana's components,
// which say what they were given. Rendered anew after every change, as a page is.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import test from 'node:test';
import vm from 'node:vm';

import React from 'react';
import { renderToStaticMarkup } from 'react-dom/server';

// load runs the bundle, and answers what it registered. Hooks are this file's own, so that
// effects run and states stay between two renderings.
function load() {
  const page = { parts: [], states: new Map(), effects: new Set(), at: 0, owner: '' };
  const stand = (name) => (props) => {
    page.parts.push({ name, ...props });
    return React.createElement('div', { 'data-part': name, title: props.tooltip }, props.label ?? props['aria-label'], props.children);
  };
  const ui = new Proxy({}, { get: (_, name) => (page[name] ??= stand(name)) });
  const named = (make) => (...args) => make(`${page.owner}/${page.at++}`, ...args);
  const react = {
    ...React,
    createElement: (type, props, ...children) => {
      if (typeof type === 'function' && !/^(Inline|Input|Text|Secret|Select|Multi|Field|Button)/.test(type.name) && type.name !== '') {
        const inner = (p) => {
          const [owner, at] = [page.owner, page.at];
          [page.owner, page.at] = [`${owner}>${type.name}${p.of ?? ''}`, 0];
          const out = type(p);
          [page.owner, page.at] = [owner, at];
          return out;
        };
        return React.createElement(inner, props, ...children);
      }
      return React.createElement(type, props, ...children);
    },
    useState: named((key, first) => {
      if (!page.states.has(key)) {
        page.states.set(key, typeof first === 'function' ? first() : first);
      }
      return [page.states.get(key), (v) => page.states.set(key, v)];
    }),
    useEffect: named((key, run) => {
      if (!page.effects.has(key)) {
        page.effects.add(key);
        run();
      }
    }),
  };
  const set = {};
  class DataSourcePlugin {
    setConfigEditor(editor) { set.config = editor; return this; }
    setQueryEditor(editor) { set.query = editor; return this; }
  }
  const packages = { react, '@grafana/data': { DataSourcePlugin }, '@grafana/runtime': { DataSourceWithBackend: class {}, getTemplateSrv: () => ({}) }, '@grafana/ui': ui };
  vm.runInNewContext(fs.readFileSync(process.env.WEIR_MODULE, 'utf8'), { define: (names, make) => make(...names.map((n) => packages[n])) });
  page.render = (editor, props) => {
    page.parts = [];
    page.owner = '';
    page.at = 0;
    page.html = renderToStaticMarkup(React.createElement(() => react.createElement(editor, props).type(props)));
    return page;
  };
  page.find = (label) => {
    const found = page.parts.find((p) => p['aria-label'] === label);
    assert.ok(found, `no ${label}: ${page.parts.map((p) => p['aria-label'] ?? p.label ?? p.name).join(', ')}`);
    return found;
  };
  return { page, set };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));
const plain = (v) => JSON.parse(JSON.stringify(v));

test('the query editor offers sites and signals, and takes what is chosen', async () => {
  const { page, set } = load();
  const asked = [];
  let query = { refId: 'A', kind: 'signals' };
  let ran = 0;
  const props = () => ({
    query,
    onChange: (q) => { query = plain(q); },
    onRunQuery: () => ran++,
    datasource: { values: (of) => { asked.push(of); return Promise.resolve(of === 'sites' ? ['shop.example.org', 'forum.example.org'] : ['request_rate', 'unique_clients']); } },
  });
  page.render(set.query, props());
  await settled();
  page.render(set.query, props());
  assert.deepEqual(asked.sort(), ['signals', 'sites']);
  assert.deepEqual(plain(page.find('Sites').options.map((o) => o.value)), ['shop.example.org', 'forum.example.org']);
  assert.deepEqual(plain(page.find('Signals').options.map((o) => o.value)), ['request_rate', 'unique_clients']);
  assert.equal(page.find('Sites').allowCustomValue, true); // a variable, or a site to come
  page.find('Sites').onChange([{ value: 'shop.example.org' }, { value: '$site' }]);
  assert.deepEqual(query, { refId: 'A', kind: 'signals', sites: ['shop.example.org', '$site'] });
  page.render(set.query, props());
  page.find('Live').onChange({ currentTarget: { checked: true } });
  assert.equal(query.live, true);
  page.render(set.query, props());
  page.find('Show').onChange({ value: 'figures' });
  assert.deepEqual(query, { refId: 'A', kind: 'figures', columns: ['weir_memory'] });
  assert.equal(ran, 3);
  page.render(set.query, props());
  assert.ok(page.find('Numbers').options.some((o) => o.value === 'clickhouse_memory'));
  assert.equal(page.parts.some((p) => p['aria-label'] === 'Signals'), false); // what a kind does not use is not offered
});

test('a picker whose list fails says why', async () => {
  const { page, set } = load();
  const props = { query: { refId: 'A', kind: 'traffic' }, onChange() {}, onRunQuery() {}, datasource: { values: () => Promise.reject({ data: { error: 'ClickHouse does not answer' } }) } };
  page.render(set.query, props);
  await settled();
  page.render(set.query, props);
  assert.match(page.html, /ClickHouse does not answer/);
});

test('a decision is taken at the second click, and an address allowed', async () => {
  const { page, set } = load();
  const done = [];
  const datasource = { values: () => Promise.resolve([]), decide: (...a) => { done.push(a); return Promise.resolve(); }, allow: (...a) => { done.push(a); return Promise.reject(new Error('eve has the role Viewer')); } };
  const props = { query: { refId: 'A', kind: 'decisions', where: { decision: 'i1-1' } }, onChange() {}, onRunQuery() {}, datasource };
  const button = (text) => page.parts.find((p) => p.name === 'Button' && String(p.children).includes(text));
  page.render(set.query, props);
  button('Lift').onClick();
  assert.deepEqual(done, []);
  page.render(set.query, props);
  button('Lift: click again').onClick();
  await settled();
  assert.deepEqual(plain(done), [['decisions/lift', ['i1-1']]]);
  page.render(set.query, props);
  assert.match(page.html, /Done\./);
  assert.equal(button('Allow'), undefined); // nothing to allow yet
  page.find('Allow').onChange({ currentTarget: { value: '192.0.2.7' } });
  page.find('Reason to allow').onChange({ currentTarget: { value: 'our monitor' } });
  page.render(set.query, props);
  button('Allow 192.0.2.7').onClick();
  page.render(set.query, props);
  button('Allow 192.0.2.7').onClick();
  await settled();
  assert.deepEqual(plain(done[1]), ['192.0.2.7', '24h', 'our monitor']);
  page.render(set.query, props);
  assert.match(page.html, /eve has the role Viewer/);
});

test('secrets go into secure fields, are not shown again, and can be reset', () => {
  const { page, set } = load();
  let options = { jsonData: { nats: 'nats://127.0.0.1:4222' }, secureJsonFields: { natsCredentials: true }, secureJsonData: {} };
  const props = () => ({ options, onOptionsChange: (o) => { options = plain(o); } });
  page.render(set.config, props());
  for (const label of ['Password or token', 'Credentials', 'Client key']) {
    assert.match(page.find(label).name, /^Secret/);
  }
  assert.equal(page.find('Credentials').isConfigured, true);
  assert.equal(page.find('Password or token').isConfigured, false);
  page.find('Password or token').onChange({ currentTarget: { value: 's3cret' } });
  assert.deepEqual(options.secureJsonData, { clickhousePassword: 's3cret' });
  assert.equal(JSON.stringify(options.jsonData).includes('s3cret'), false);
  page.render(set.config, props());
  page.find('Credentials').onReset();
  assert.equal(options.secureJsonFields.natsCredentials, false);
  assert.equal(options.secureJsonData.clickhousePassword, 's3cret');
  page.render(set.config, props());
  page.find('Address of NATS').onChange({ currentTarget: { value: 'nats://elsewhere:4222' } });
  page.render(set.config, props());
  page.find('Rows of a query').onChange({ currentTarget: { value: '500' } });
  assert.deepEqual(options.jsonData, { nats: 'nats://elsewhere:4222', maxRows: 500 });
});
