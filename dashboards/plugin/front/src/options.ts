import type { DataSourceJsonData } from '@grafana/data';

export interface WeirOptions extends DataSourceJsonData {
  clickhouse?: string;
  clickhouseUser?: string;
  nats?: string;
  metrics?: string;
  tlsCA?: string;
  tlsCert?: string;
  maxSeconds?: number;
  maxRows?: number;
}

export interface WeirSecrets {
  clickhousePassword?: string;
  natsCredentials?: string;
  tlsKey?: string;
}
