import type { QueryEditorProps, SelectableValue } from '@grafana/data';
import { InlineField, InlineFieldRow, InlineSwitch, Input, MultiSelect, Select, TextArea } from '@grafana/ui';
import React, { useEffect, useState } from 'react';

import type { WeirDataSource } from './datasource';
import { Allow, Decide } from './Decide';
import type { WeirOptions } from './options';
import { choices, filters, type Kind, kinds, numbers, ofKind, states, uses, type WeirQuery } from './query';

type Props = QueryEditorProps<WeirDataSource, WeirQuery, WeirOptions>;

const option = (value: string): SelectableValue<string> => ({ value, label: value || 'each request' });

export function QueryEditor({ query, onChange, onRunQuery, datasource }: Props) {
  const kind: Kind = query.kind ?? 'traffic';
  const set = (change: Partial<WeirQuery>) => {
    onChange({ ...query, kind, ...change });
    onRunQuery();
  };
  return (
    <>
      <InlineFieldRow>
        <InlineField label="Show" labelWidth={12} tooltip={kinds[kind]}>
          <Select<Kind>
            aria-label="Show"
            width={24}
            value={kind}
            options={(Object.keys(kinds) as Kind[]).map((k) => ({ value: k, label: k, description: kinds[k] }))}
            onChange={(v) => {
              onChange(ofKind(query, v.value ?? 'traffic'));
              onRunQuery();
            }}
          />
        </InlineField>
        {uses(kind, 'by') && (
          <InlineField label="By">
            <Select aria-label="By" width={20} value={query.by ?? choices[kind]?.[0]} options={(choices[kind] ?? []).map(option)} onChange={(v) => set({ by: v.value })} />
          </InlineField>
        )}
        {uses(kind, 'state') && (
          <InlineField label="State">
            <Select aria-label="State" width={16} value={query.state ?? states[kind]?.[0]} options={(states[kind] ?? []).map(option)} onChange={(v) => set({ state: v.value })} />
          </InlineField>
        )}
        {uses(kind, 'live') && (
          <InlineField label="Live" tooltip="The panel goes on from where the store ends, as requests come in.">
            <InlineSwitch aria-label="Live" value={Boolean(query.live)} onChange={(e) => set({ live: e.currentTarget.checked })} />
          </InlineField>
        )}
        {uses(kind, 'normal') && (
          <InlineField label="Normal" tooltip="What is normal at that hour, beside it.">
            <InlineSwitch aria-label="Normal" value={Boolean(query.normal)} onChange={(e) => set({ normal: e.currentTarget.checked })} />
          </InlineField>
        )}
      </InlineFieldRow>
      <InlineFieldRow>
        {uses(kind, 'sites') && <Pick label="Sites" of="sites" none="every site" datasource={datasource} chosen={query.sites} onChange={(sites) => set({ sites })} />}
        {uses(kind, 'signals') && <Pick label="Signals" of="signals" none="request_rate" datasource={datasource} chosen={query.signals} onChange={(signals) => set({ signals })} />}
        {uses(kind, 'edges') && <Pick label="Edges" of="edges" none="every edge" datasource={datasource} chosen={query.edges} onChange={(edges) => set({ edges })} />}
        {uses(kind, 'columns') && (
          <InlineField label="Numbers">
            <MultiSelect aria-label="Numbers" width={50} value={query.columns ?? []} options={(numbers[kind] ?? []).map(option)} onChange={(v) => set({ columns: v.map((o) => o.value ?? '') })} />
          </InlineField>
        )}
        {uses(kind, 'incident') && (
          <InlineField label="Incident" tooltip="Its id, a variable such as $incident, or latest; empty: the panel's time.">
            <Input aria-label="Incident" width={24} defaultValue={query.incident ?? ''} onBlur={(e) => set({ incident: e.currentTarget.value || undefined })} />
          </InlineField>
        )}
        <InlineField label="Rows" tooltip="At most; empty is 100.">
          <Input aria-label="Rows" type="number" width={10} defaultValue={query.limit ?? ''} onBlur={(e) => set({ limit: Number(e.currentTarget.value) || undefined })} />
        </InlineField>
      </InlineFieldRow>
      {uses(kind, 'where') && (
        <InlineFieldRow>
          {(kind === 'decisions' || kind === 'evidence' ? ['decision'] : filters).map((column) => (
            <InlineField key={column} label={column.replace('_', ' ')}>
              <Input
                aria-label={column}
                width={18}
                defaultValue={query.where?.[column] ?? ''}
                onBlur={(e) => set({ where: { ...query.where, [column]: e.currentTarget.value } })}
              />
            </InlineField>
          ))}
        </InlineFieldRow>
      )}
      {kind === 'sql' && (
        <InlineField label="SQL" labelWidth={12} grow tooltip="Reads only. $__timeFilter(column), $__timeInterval(column), $__sites(column), $__from, $__to, $__interval_s. Variables come quoted: site IN ($site).">
          <TextArea aria-label="SQL" rows={8} defaultValue={query.sql ?? ''} onBlur={(e) => set({ sql: e.currentTarget.value })} />
        </InlineField>
      )}
      {kind === 'decisions' && query.where?.decision && <Decide datasource={datasource} id={query.where.decision} onDone={onRunQuery} />}
      {kind === 'decisions' && <Allow datasource={datasource} onDone={onRunQuery} />}
    </>
  );
}

interface PickProps {
  label: string;
  of: string;
  none: string;
  datasource: WeirDataSource;
  chosen?: string[];
  onChange: (chosen: string[] | undefined) => void;
}

// Pick offers what there is, and takes what a person writes: a variable, or a site to come.
function Pick({ label, of, none, datasource, chosen, onChange }: PickProps) {
  const [known, setKnown] = useState<string[]>([]);
  const [failed, setFailed] = useState('');
  useEffect(() => {
    let gone = false;
    datasource.values(of).then(
      (values) => !gone && setKnown(values),
      (error) => !gone && setFailed(String(error?.data?.error ?? error?.message ?? error))
    );
    return () => {
      gone = true;
    };
  }, [datasource, of]);
  return (
    <InlineField label={label} tooltip={failed || undefined} invalid={Boolean(failed)}>
      <MultiSelect
        aria-label={label}
        width={40}
        allowCustomValue
        placeholder={none}
        value={chosen ?? []}
        options={[...new Set([...known, ...(chosen ?? [])])].map(option)}
        onChange={(v) => onChange(v.length ? v.map((o) => o.value ?? '') : undefined)}
      />
    </InlineField>
  );
}
