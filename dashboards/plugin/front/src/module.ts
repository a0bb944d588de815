import { DataSourcePlugin } from '@grafana/data';

import { ConfigEditor } from './ConfigEditor';
import { WeirDataSource } from './datasource';
import type { WeirOptions, WeirSecrets } from './options';
import type { WeirQuery } from './query';
import { QueryEditor } from './QueryEditor';

export const plugin = new DataSourcePlugin<WeirDataSource, WeirQuery, WeirOptions, WeirSecrets>(WeirDataSource)
  .setConfigEditor(ConfigEditor)
  .setQueryEditor(QueryEditor);
