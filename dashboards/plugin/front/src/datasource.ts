import type { DataQueryRequest, DataSourceInstanceSettings, MetricFindValue, ScopedVars } from '@grafana/data';
import { DataSourceWithBackend, getTemplateSrv } from '@grafana/runtime';

import type { WeirOptions } from './options';
import { interpolate, type WeirQuery } from './query';

// rows that a live panel keeps: half an hour at four a second, and the history before it.
const kept = 10_000;

export class WeirDataSource extends DataSourceWithBackend<WeirQuery, WeirOptions> {
  annotations = {};

  // Grafana's own keeps as many rows as the panel has pixels, and would push the history out.
  streamOptionsProvider = (request: DataQueryRequest<WeirQuery>) => ({
    maxLength: kept,
    maxDelta: request.range.to.valueOf() - request.range.from.valueOf(),
    action: 'append' as const,
  });

  constructor(settings: DataSourceInstanceSettings<WeirOptions>) {
    super(settings);
  }

  getDefaultQuery(): Partial<WeirQuery> {
    return { kind: 'traffic', live: true };
  }

  filterQuery(query: WeirQuery): boolean {
    return Boolean(query.kind) && !query.hide;
  }

  applyTemplateVariables(query: WeirQuery, scoped: ScopedVars): WeirQuery {
    return interpolate(query, scoped, (text, vars, format) => getTemplateSrv().replace(text, vars, format));
  }

  async metricFindQuery(query: Partial<WeirQuery> | string): Promise<MetricFindValue[]> {
    const of = typeof query === 'string' ? query : (query.by ?? 'sites');
    return (await this.values(of)).map((text) => ({ text, value: text }));
  }

  // values are what a picker offers: sites, signals, incidents, edges, decisions.
  values(of: string): Promise<string[]> {
    return this.getResource<string[]>('values', { of: of || 'sites' });
  }

  // allow has nothing touch an address or a prefix, at any edge.
  allow(value: string, duration: string, reason: string): Promise<unknown> {
    return this.postResource('decisions/allow', { value, for: duration, reason });
  }

  // decide has a person's order carried out; Grafana tells the backend who it is.
  decide(what: string, ids: string[], duration?: string): Promise<unknown> {
    return this.postResource(what, { ids, ...(duration ? { for: duration } : {}) });
  }
}
