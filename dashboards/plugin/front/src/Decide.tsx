import { Button, InlineField, InlineFieldRow, Input } from '@grafana/ui';
import React, { useState } from 'react';

import type { WeirDataSource } from './datasource';

interface Props {
  datasource: WeirDataSource;
  onDone: () => void;
}

// useTwice has something done at the second click, and says what came of it.
function useTwice(onDone: () => void) {
  const [sure, setSure] = useState('');
  const [said, setSaid] = useState('');
  const button = (name: string, label: string, act: () => Promise<unknown>) => (
    <Button
      key={name}
      size="sm"
      variant={sure === name ? 'destructive' : 'secondary'}
      onClick={() => {
        if (sure !== name) {
          setSure(name);
          return;
        }
        setSure('');
        act().then(
          () => {
            setSaid('Done.');
            onDone();
          },
          (error) => setSaid(String(error?.data?.error ?? error?.message ?? error))
        );
      }}
    >
      {sure === name ? `${label}: click again to do it` : label}
    </Button>
  );
  return { button, said: <span role="status">{said}</span> };
}

// Decide is what a person can do with a decision.
export function Decide({ datasource, id, onDone }: Props & { id: string }) {
  const { button, said } = useTwice(onDone);
  return (
    <InlineFieldRow>
      <InlineField label={`Decide on ${id}`}>
        <>
          {button('accept', 'Accept for 1 h', () => datasource.decide('decisions/accept', [id], '1h'))}{' '}
          {button('extend', 'Extend by 1 h', () => datasource.decide('decisions/extend', [id], '1h'))} {button('lift', 'Lift', () => datasource.decide('decisions/lift', [id]))}
        </>
      </InlineField>
      {said}
    </InlineFieldRow>
  );
}

// Allow has nothing touch an address or a network for a while.
export function Allow({ datasource, onDone }: Props) {
  const { button, said } = useTwice(onDone);
  const [value, setValue] = useState('');
  const [reason, setReason] = useState('');
  return (
    <InlineFieldRow>
      <InlineField label="Allow" labelWidth={12} tooltip="An address or a prefix that no decision shall touch, on any site and at any edge.">
        <Input aria-label="Allow" width={24} placeholder="192.0.2.7" value={value} onChange={(e) => setValue(e.currentTarget.value)} />
      </InlineField>
      <InlineField label="because">
        <Input aria-label="Reason to allow" width={40} placeholder="for those who come after you" value={reason} onChange={(e) => setReason(e.currentTarget.value)} />
      </InlineField>
      {value && button('allow', `Allow ${value} for 24 h`, () => datasource.allow(value, '24h', reason))}
      {said}
    </InlineFieldRow>
  );
}
