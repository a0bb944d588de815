package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/weir-project/weir/collectors/realip"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/nftables"
)

// droppedSource is what batches of dropped packets are called.
const droppedSource = "nftables"

// droppedRows bounds the rows of one report, so that a flood does not make one of batches:
// what goes beyond is left out of the counts, not of the firewall.
const droppedRows = 4000

// droppedShip makes requests of what the firewall dropped, so that an attack does not seem
// over because it is stopped. A packet that was dropped stands for a request that was
// blocked: a client that gets no answer sends its first packet again, three to six times
// in half a minute, so that the rate is an estimate.
type droppedShip struct {
	to       transport
	log      *slog.Logger
	edge     string
	builders [schemas.Partitions]*schemas.Builder
	encoder  schemas.BatchEncoder
}

func newDroppedShip(to transport, edge string, log *slog.Logger) *droppedShip {
	d := &droppedShip{to: to, edge: edge, log: log}
	for p := range d.builders {
		d.builders[p] = schemas.NewBuilder(edge, droppedSource)
	}
	return d
}

// ship publishes one report; what cannot be published is lost, as the next one tells the
// same.
func (d *droppedShip) ship(ctx context.Context, dropped []nftables.Dropped) {
	now := time.Now()
	total := uint64(0)
	for _, one := range dropped {
		total += one.Packets
	}
	share := min(1, droppedRows/float64(max(total, 1)))
	r := schemas.Request{Time: now.UnixMilli(), Fields: schemas.FieldAction | schemas.FieldSite, Action: []byte(schemas.Block)}
	for _, one := range dropped {
		if one.Decision == "" || len(one.Sites) == 0 {
			continue // nobody knows of which site: a decision by hand on all of them
		}
		r.Client, r.Decision = schemas.ClientOf(one.Client), []byte(one.Decision)
		r.Site = []byte(one.Sites[0])
		b := d.builders[schemas.PartitionOf(r.Client)]
		for range max(1, uint64(float64(one.Packets)*share)) {
			if b.Fits(&r) {
				b.Append(&r)
			}
		}
	}
	for p, b := range d.builders {
		if b.Len() == 0 {
			continue
		}
		batch := b.Batch()
		batch.Watermark = now.UnixMilli()
		message, err := d.encoder.Encode(nil, batch)
		if err == nil {
			err = d.to.Publish(ctx, schemas.SubjectRequests(p), fmt.Sprintf("%s/%s/%d/%d", d.edge, droppedSource, p, now.UnixNano()), message)
		}
		if err != nil && ctx.Err() == nil {
			d.log.Warn("what the firewall dropped was not reported", "error", err)
		}
		b.Reset()
	}
}

// hidden says by what the peers of this machine are hidden: proxies that the configuration
// trusts, or, of the connections at this moment, edges of a network that is known.
func (r *enforcing) hidden() string {
	if trusted := r.config.Edge.TrustedProxies; len(trusted) > 0 {
		return "proxies (edge.trusted_proxies: " + strings.Join(trusted, ", ") + ")"
	}
	trust, err := realip.NewTrust(nil)
	if err != nil {
		return ""
	}
	peers, of, name := 0, 0, ""
	for _, file := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(filepath.Join("/proc/net", file))
		if err != nil {
			continue
		}
		for _, peer := range peersOf(string(text), r.config.Nftables.Ports) {
			peers++
			if network := trust.Network(peer); network != "" {
				of, name = of+1, network
			}
		}
	}
	if of > 0 && 2*of >= peers {
		return "edges of " + name
	}
	return ""
}
