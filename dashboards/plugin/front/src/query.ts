import type { DataQuery, ScopedVars } from '@grafana/data';

// What a panel asks: the same words as in dashboards/query of weir's sources, which checks them.
export interface WeirQuery extends DataQuery {
  kind: Kind;
  sites?: string[];
  signals?: string[];
  normal?: boolean;
  by?: string;
  live?: boolean;
  incident?: string;
  state?: string;
  annotations?: boolean;
  edges?: string[];
  columns?: string[];
  where?: Record<string, string>;
  limit?: number;
  sql?: string;
}

export const kinds = {
  sites: 'How each site is at this moment, beside what is normal.',
  traffic: 'Requests a second over time: served, failed, stopped; or by site. Can be live.',
  signals: 'Signals of sites over time, with what is normal. Can be live, and alerted on.',
  traits: 'What sets the requests apart: values of traits by what changed.',
  incidents: 'Incidents, as rows or as regions.',
  decisions: 'Decisions with what they matched. Accept, lift or extend them here.',
  evidence: 'Why decisions were taken: traits, requests they match, the normal ones that come closest.',
  effect: 'What decisions did at the edges over time.',
  edges: 'What each edge should hold, and holds.',
  prefixes: 'Networks by their requests.',
  vitals: 'How the servers are over time.',
  figures: 'How weir itself is over time: memory, drops, loads at the edges.',
  health: 'The pipeline as named numbers.',
  lag: 'How late requests are stored.',
  requests: 'Single requests, or the most frequent values of a column.',
  values: 'What a variable can have.',
  sql: 'One SELECT on the store, with macros.',
} as const;

export type Kind = keyof typeof kinds;

// What `by` can be, of the kinds that have it.
export const choices: Partial<Record<Kind, string[]>> = {
  traffic: ['outcome', 'site'],
  prefixes: ['16', '8', '24', 'map'],
  values: ['sites', 'signals', 'incidents', 'edges', 'decisions'],
  requests: ['', 'client', 'network', 'user_agent', 'path', 'status', 'method', 'site', 'referer', 'accept_language', 'tls', 'action', 'decision'],
};

export const states: Partial<Record<Kind, string[]>> = { incidents: ['all', 'open'], decisions: ['in_force', 'review', 'all'] };

export const filters = ['client', 'network', 'user_agent', 'path', 'status', 'method', 'decision', 'action', 'matches'];

export const vitals = [
  'nginx_active', 'nginx_reading', 'nginx_writing', 'nginx_waiting', 'nginx_accepted', 'nginx_requests', 'listen_waiting', 'listen_overflows', 'syncookies',
  'sockets', 'conntrack_share', 'received', 'sent', 'received_dropped', 'load', 'memory_used', 'cpu_pressure', 'memory_pressure', 'io_pressure',
];

export const figures = [
  'weir_memory', 'nats_memory', 'nats_disk', 'clickhouse_memory', 'clickhouse_disk', 'collector_lag', 'detector_lag', 'load_seconds', 'loads', 'loaded', 'missing', 'matched',
  'lines', 'processed', 'lines_refused', 'listener_dropped', 'bus_lost', 'late_requests', 'store_retries',
];

// numbers are those that a kind has over time.
export const numbers: Partial<Record<Kind, string[]>> = { vitals, figures };

// uses says whether a field belongs to a kind: what does not is taken out, or the backend refuses it.
export function uses(kind: Kind, field: keyof WeirQuery): boolean {
  const sited: Kind[] = ['sites', 'traffic', 'signals', 'traits', 'incidents', 'decisions', 'evidence', 'effect', 'prefixes', 'lag', 'requests', 'sql'];
  const of: Partial<Record<keyof WeirQuery, Kind[]>> = {
    sites: sited,
    signals: ['signals'],
    normal: ['signals'],
    live: ['traffic', 'signals'],
    incident: ['traffic', 'signals', 'traits', 'incidents', 'decisions', 'evidence', 'effect', 'prefixes', 'requests'],
    edges: ['edges', 'vitals', 'figures'],
    columns: ['vitals', 'figures'],
    where: ['requests', 'prefixes', 'decisions', 'evidence'],
    sql: ['sql'],
    annotations: ['incidents'],
    by: Object.keys(choices) as Kind[],
    state: Object.keys(states) as Kind[],
  };
  return of[field]?.includes(kind) ?? true;
}

// ofKind is a query turned into another kind.
export function ofKind(query: WeirQuery, kind: Kind): WeirQuery {
  const next: WeirQuery = { ...query, kind };
  for (const field of ['sites', 'signals', 'normal', 'live', 'incident', 'edges', 'columns', 'where', 'sql', 'annotations'] as const) {
    if (!uses(kind, field)) {
      delete next[field];
    }
  }
  delete next.by;
  delete next.state;
  const known = numbers[kind];
  if (known) {
    next.columns = next.columns?.filter((c) => known.includes(c));
    if (!next.columns?.length) {
      next.columns = known.slice(0, 1);
    }
  }
  if (kind === 'sql' && !next.sql) {
    next.sql = 'SELECT $__timeInterval(time) AS time, count() AS requests FROM requests WHERE $__timeFilter(time) AND $__sites(site) GROUP BY time ORDER BY time';
  }
  return next;
}

export type Replace = (text: string, scoped: ScopedVars | undefined, format: (value: string | string[]) => string) => string;

// between two values of a variable: in no name of anything.
const between = '\u0000';

function list(values: string[] | undefined, scoped: ScopedVars | undefined, replace: Replace): string[] | undefined {
  return values?.flatMap((text) => replace(text, scoped, (v) => (Array.isArray(v) ? v.join(between) : String(v))).split(between));
}

// quoted is a value as ClickHouse reads it.
export function quoted(value: string | string[]): string {
  const one = (v: string) => "'" + v.replace(/\\/g, '\\\\').replace(/'/g, "\\'") + "'";
  return Array.isArray(value) ? value.map(one).join(', ') : one(String(value));
}

// interpolate puts in what the variables of a dashboard hold.
export function interpolate(query: WeirQuery, scoped: ScopedVars | undefined, replace: Replace): WeirQuery {
  const plain = (text: string) => replace(text, scoped, (v) => (Array.isArray(v) ? (v[0] ?? '') : String(v)));
  const next: WeirQuery = { ...query };
  next.sites = list(query.sites, scoped, replace);
  next.signals = list(query.signals, scoped, replace);
  next.edges = list(query.edges, scoped, replace);
  if (query.incident) {
    next.incident = plain(query.incident);
  }
  if (query.where) {
    next.where = Object.fromEntries(Object.entries(query.where).map(([column, value]) => [column, plain(value)]));
  }
  if (query.sql) {
    next.sql = replace(query.sql, scoped, quoted);
  }
  for (const field of Object.keys(next) as Array<keyof WeirQuery>) {
    if (next[field] === undefined) {
      delete next[field];
    }
  }
  return next;
}
