// @ts-nocheck: run by node's own test runner, which Grafana's types know nothing of
import assert from 'node:assert/strict';
import test from 'node:test';

import { choices, interpolate, kinds, ofKind, quoted, states, uses } from './query';

// replace does what Grafana's template service does.
const held = { site: ['a.example.org', 'b,"\u2603.example.org'], one: 'x', all: '*', evil: ["a'b\\"] };
const replace = (text, _scoped, format) => text.replace(/\$(\w+)/g, (found, name) => (name in held ? format(held[name]) : found));

test('a variable of several values becomes several values', () => {
  const q = interpolate({ refId: 'A', kind: 'traffic', sites: ['$site', '$one', 'c'], edges: ['$all'] }, undefined, replace);
  assert.deepEqual(q.sites, ['a.example.org', 'b,"\u2603.example.org', 'x', 'c']);
  assert.deepEqual(q.edges, ['*']);
  assert.equal('signals' in q, false);
});

test('a value in SQL cannot end its quotes', () => {
  assert.equal(quoted("a'b\\"), "'a\\'b\\\\'");
  const q = interpolate({ refId: 'A', kind: 'sql', sql: 'SELECT 1 WHERE site IN ($evil) AND $__timeFilter(time)' }, undefined, replace);
  assert.equal(q.sql, "SELECT 1 WHERE site IN ('a\\'b\\\\') AND $__timeFilter(time)");
});

test('filters and the incident take single values', () => {
  const q = interpolate({ refId: 'A', kind: 'requests', incident: '$one', where: { client: '$one', path: '' } }, undefined, replace);
  assert.deepEqual(q, { refId: 'A', kind: 'requests', incident: 'x', where: { client: 'x', path: '' } });
});

test('a query of another kind keeps only what that kind knows', () => {
  const q = ofKind({ refId: 'A', kind: 'signals', sites: ['s'], signals: ['g'], normal: true, live: true, by: 'x', state: 'y' }, 'edges');
  assert.deepEqual(q, { refId: 'A', kind: 'edges' });
  assert.equal(ofKind({ refId: 'A', kind: 'edges' }, 'vitals').columns.length, 1);
  assert.match(ofKind({ refId: 'A', kind: 'edges' }, 'sql').sql, /timeFilter/);
});

test('every kind is described, and what it offers is its own', () => {
  for (const [kind, about] of Object.entries(kinds)) {
    assert.ok(about.endsWith('.') && about.length > 15, kind);
    assert.equal(uses(kind, 'by'), kind in choices);
    assert.equal(uses(kind, 'state'), kind in states);
  }
});
