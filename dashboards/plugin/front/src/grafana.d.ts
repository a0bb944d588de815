// What is used of two of Grafana's packages, which the npm registry does not have whole:
// Grafana itself hands them to the plugin when it runs.

declare module '@grafana/runtime' {
  import type { DataQuery, DataSourceApi, DataSourceInstanceSettings, DataSourceJsonData, ScopedVars } from '@grafana/data';

  export abstract class DataSourceWithBackend<TQuery extends DataQuery, TOptions extends DataSourceJsonData> extends DataSourceApi<TQuery, TOptions> {
    constructor(settings: DataSourceInstanceSettings<TOptions>);
    query: DataSourceApi<TQuery, TOptions>['query'];
    testDatasource: DataSourceApi<TQuery, TOptions>['testDatasource'];
    getResource<T>(path: string, params?: Record<string, unknown>): Promise<T>;
    postResource<T>(path: string, data?: unknown): Promise<T>;
  }

  export function getTemplateSrv(): {
    replace(text: string, scoped?: ScopedVars, format?: string | ((value: string | string[]) => string)): string;
  };
}

declare module '@grafana/ui' {
  import type { SelectableValue } from '@grafana/data';
  import type React from 'react';

  type Tooltip = { tooltip?: string };
  type Named = { 'aria-label'?: string };
  type Width = { width?: number };

  export const InlineFieldRow: React.FC<{ children?: React.ReactNode }>;
  export const InlineField: React.FC<Tooltip & { label?: string; labelWidth?: number; grow?: boolean; invalid?: boolean; children: React.ReactElement }>;
  export const InlineSwitch: React.FC<Named & { value?: boolean; onChange: (e: React.FormEvent<HTMLInputElement>) => void }>;
  export const Input: React.FC<Omit<React.InputHTMLAttributes<HTMLInputElement>, 'width'> & Width>;
  export const TextArea: React.FC<React.TextareaHTMLAttributes<HTMLTextAreaElement>>;
  export const FieldSet: React.FC<{ label?: string; children?: React.ReactNode }>;
  export const Button: React.FC<{ size?: 'sm' | 'md'; variant?: 'primary' | 'secondary' | 'destructive'; onClick?: () => void; children?: React.ReactNode }>;

  interface Secret {
    isConfigured: boolean;
    onReset: () => void;
  }
  export const SecretInput: React.FC<Omit<React.InputHTMLAttributes<HTMLInputElement>, 'width'> & Width & Secret>;
  export const SecretTextArea: React.FC<React.TextareaHTMLAttributes<HTMLTextAreaElement> & Secret>;

  export function Select<T>(props: Named & Width & { value?: T; options: Array<SelectableValue<T>>; onChange: (v: SelectableValue<T>) => void }): React.ReactElement;
  export function MultiSelect<T>(
    props: Named & Width & { value?: T[]; options: Array<SelectableValue<T>>; placeholder?: string; allowCustomValue?: boolean; onChange: (v: Array<SelectableValue<T>>) => void }
  ): React.ReactElement;
}
