import type { DataSourcePluginOptionsEditorProps } from '@grafana/data';
import { FieldSet, InlineField, Input, SecretInput, SecretTextArea, TextArea } from '@grafana/ui';
import React from 'react';

import type { WeirOptions, WeirSecrets } from './options';

type Props = DataSourcePluginOptionsEditorProps<WeirOptions, WeirSecrets>;

export function ConfigEditor({ options, onOptionsChange }: Props) {
  const { jsonData, secureJsonFields, secureJsonData } = options;
  const set = (change: Partial<WeirOptions>) => onOptionsChange({ ...options, jsonData: { ...jsonData, ...change } });
  const secret = (name: keyof WeirSecrets) => ({
    isConfigured: Boolean(secureJsonFields?.[name]),
    value: secureJsonData?.[name] ?? '',
    onChange: (e: React.FormEvent<HTMLInputElement | HTMLTextAreaElement>) =>
      onOptionsChange({ ...options, secureJsonData: { ...secureJsonData, [name]: e.currentTarget.value } }),
    onReset: () =>
      onOptionsChange({ ...options, secureJsonFields: { ...secureJsonFields, [name]: false }, secureJsonData: { ...secureJsonData, [name]: '' } }),
  });
  const text = (name: 'clickhouse' | 'clickhouseUser' | 'nats' | 'metrics', label: string, placeholder: string, tooltip: string) => (
    <InlineField label={label} labelWidth={24} tooltip={tooltip}>
      <Input aria-label={label} width={60} placeholder={placeholder} value={jsonData[name] ?? ''} onChange={(e) => set({ [name]: e.currentTarget.value })} />
    </InlineField>
  );
  const count = (name: 'maxSeconds' | 'maxRows', label: string, usual: number, tooltip: string) => (
    <InlineField label={label} labelWidth={24} tooltip={tooltip}>
      <Input aria-label={label} type="number" width={20} placeholder={String(usual)} value={jsonData[name] ?? ''} onChange={(e) => set({ [name]: Number(e.currentTarget.value) || undefined })} />
    </InlineField>
  );
  const pem = (name: 'tlsCA' | 'tlsCert', label: string) => (
    <InlineField label={label} labelWidth={24}>
      <TextArea aria-label={label} cols={60} rows={3} placeholder="-----BEGIN CERTIFICATE-----" value={jsonData[name] ?? ''} onChange={(e) => set({ [name]: e.currentTarget.value })} />
    </InlineField>
  );
  return (
    <>
      <FieldSet label="ClickHouse: what was">
        {text('clickhouse', 'Address', 'http://127.0.0.1:8480/api/sql', 'With the embedded ClickHouse: /api/sql of weir run. With a server: clickhouse://host:9000/weir.')}
        {text('clickhouseUser', 'User', 'default', 'Of a server; one that only reads. With /api/sql there is none.')}
        <InlineField label="Password or token" labelWidth={24} tooltip="The user's password, or what stands in the file of http.sql_token_file.">
          <SecretInput aria-label="Password or token" width={60} {...secret('clickhousePassword')} />
        </InlineField>
      </FieldSet>
      <FieldSet label="NATS: what is, and what a person decides">
        {text('nats', 'Address of NATS', 'nats://127.0.0.1:4222', 'The embedded one listens where nats.listen says.')}
        <InlineField label="Credentials" labelWidth={24} tooltip="As `nsc generate creds` writes them; empty on loopback.">
          <SecretTextArea aria-label="Credentials" cols={60} rows={3} {...secret('natsCredentials')} />
        </InlineField>
      </FieldSet>
      <FieldSet label="Further">
        {text('metrics', "weir's metrics", 'http://127.0.0.1:8480/metrics', 'For the dashboard Pipeline; empty: without them.')}
        {count('maxSeconds', 'Seconds of a query', 10, 'Then it is ended, in the server as well.')}
        {count('maxRows', 'Rows of a query', 10_000, 'What is beyond is left out, and said.')}
        {pem('tlsCA', 'CA certificate')}
        {pem('tlsCert', 'Client certificate')}
        <InlineField label="Client key" labelWidth={24}>
          <SecretTextArea aria-label="Client key" cols={60} rows={3} {...secret('tlsKey')} />
        </InlineField>
      </FieldSet>
    </>
  );
}
