package main

import (
	"context"
	"fmt"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"

	"github.com/weir-project/weir/dashboards/query"
	"github.com/weir-project/weir/schemas"
)

// healthWait is how long each server has for its answer.
const healthWait = 5 * time.Second

// CheckHealth says which of ClickHouse and NATS is wrong, and why.
func (d *source) CheckHealth(ctx context.Context, _ *backend.CheckHealthRequest) (*backend.CheckHealthResult, error) {
	if d.wrong != nil {
		return &backend.CheckHealthResult{Status: backend.HealthStatusError, Message: d.wrong.Error()}, nil
	}
	store, storeErr := d.checkStore(ctx)
	bus, busErr := d.checkNATS(ctx)
	status := backend.HealthStatusOk
	if storeErr != nil {
		status, store = backend.HealthStatusError, oneLine(storeErr)
	}
	if busErr != nil {
		status, bus = backend.HealthStatusError, oneLine(busErr)
	}
	return &backend.CheckHealthResult{Status: status, Message: store + " " + bus}, nil
}

func (d *source) checkStore(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, healthWait)
	defer cancel()
	frame, _, err := d.history.ask(ctx, query.Plan{Rows: 1, SQL: "SELECT count(), uniq(site) FROM rollup_1h"})
	if err != nil {
		return "", err
	}
	sites, _ := frame.Fields[1].At(0).(*float64)
	if sites == nil || *sites == 0 {
		return "ClickHouse answers; there is no site in it yet.", nil
	}
	return fmt.Sprintf("ClickHouse answers: %.0f sites.", *sites), nil
}

func (d *source) checkNATS(ctx context.Context) (string, error) {
	_, state, conn, err := d.nats()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, healthWait)
	defer cancel()
	if !conn.IsConnected() {
		err := conn.LastError()
		if err == nil {
			return "", fmt.Errorf("NATS at %s does not answer; trying again for ever", d.settings.NATS)
		}
		return "", fmt.Errorf("NATS at %s: %s; trying again for ever", d.settings.NATS, oneLine(err))
	}
	age, err := state.Age(ctx, schemas.StreamRequests, time.Now())
	if err != nil {
		return "", err
	}
	if age < 0 {
		return "NATS answers; it has no requests yet.", nil
	}
	return fmt.Sprintf("NATS answers: the last requests came %s ago.", age.Round(time.Second)), nil
}
