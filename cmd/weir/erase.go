package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/sinks/clickhouse"
)

// privacyOf is what the configuration says, with the key of hashed addresses, which is
// made where there is none.
func privacyOf(c config.Privacy, data string) (clickhouse.Privacy, error) {
	p := clickhouse.Privacy{Addresses: clickhouse.Addresses(c.Addresses), DropValues: c.QueryValues == "drop", KeepValues: c.QueryKeys}
	if p.Addresses != clickhouse.HashedAddresses {
		return p, nil
	}
	path := filepath.Join(data, "privacy.key")
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, 32)
		_, _ = rand.Read(key) // never fails (crypto/rand)
		f, openErr := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err = openErr; err == nil {
			_, err = f.Write(key)
			err = errors.Join(err, f.Sync(), f.Close())
		}
	}
	if err == nil && len(key) != 32 {
		err = errors.New("want 32 bytes: remove it, and the same address has another hash from now on")
	}
	if err != nil {
		return p, fmt.Errorf("the key of hashed addresses, %s: %w", path, unwrapPath(err))
	}
	p.Key = key
	return p, nil
}

// truncatePace is how often addresses that have come of age are looked for.
const truncatePace = time.Hour

// truncate brings addresses down to their networks when their time has come.
func (r *storing) truncate(ctx context.Context, db *clickhouse.DB) error {
	if r.privacy.Addresses != "full" || r.privacy.FullFor == 0 {
		return nil
	}
	truncate := func(ctx context.Context) {
		if err := db.Truncate(ctx, time.Now().Add(-r.privacy.FullFor)); err != nil && ctx.Err() == nil {
			r.log.Error("addresses that should be truncated are still in full; trying again", "in", truncatePace, "error", err)
		}
	}
	truncate(ctx)
	every(ctx, truncatePace, truncate)
	return nil
}

type eraseCommand struct {
	Address string `arg:"" help:"The address; of IPv6 exactly this one."`
	dataFlag
	ClickHouse string `name:"clickhouse" placeholder:"DSN" help:"Erase in this ClickHouse instead."`
	Output     string `default:"text" enum:"text,json" help:"text or json."`
}

// Run erases, and says where the address may still be and until when.
func (c *eraseCommand) Run(ctx context.Context, s screen, p *program) error {
	address, err := netip.ParseAddr(c.Address)
	if err != nil || address.Zone() != "" {
		return usagef("%q is no address", c.Address)
	}
	configuration, err := p.configuration()
	if err != nil {
		return err
	}
	data, err := c.directory(p)
	if err != nil {
		return err
	}
	open := &sqlCommand{dataFlag: dataFlag{Data: data}, ClickHouse: c.ClickHouse}
	if c.Data == "" && c.ClickHouse == "" {
		open.Data = "" // as configured
	}
	db, end, err := open.open(ctx, p)
	if err != nil {
		return err
	}
	privacy, err := privacyOf(configuration.Privacy, data)
	if err != nil {
		return errors.Join(err, end())
	}
	db.SetPrivacy(privacy)
	erased, err := db.Erase(ctx, address)
	if err = errors.Join(err, end()); err != nil {
		return err
	}
	files, err := eraseInFiles(filepath.Join(data, "postmortems"), address)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return json.NewEncoder(s.out).Encode(struct {
			clickhouse.Erased
			Files []string `json:"files"`
		}{erased, files})
	}
	fmt.Fprintf(s.out, "Erased %s: %s requests, %s decisions, %s incidents, %s.\n", address.Unmap(), count(erased.Requests), count(erased.Decisions),
		count(erased.Incidents), plural(len(files), "post-mortem"))
	fmt.Fprint(s.out, "It may still be in NATS: in requests for a day at the most, in decisions for a week; in what processors remember until\n"+
		"they forget the client; in the edges' own logs; and in reports and exports that were written elsewhere.\n")
	return nil
}

// addressPattern finds an address where it stands by itself.
func addressPattern(address netip.Addr) *regexp.Regexp {
	return regexp.MustCompile(`(^|[^0-9a-fA-F.:])` + regexp.QuoteMeta(address.Unmap().String()) + `($|[^0-9a-fA-F.:]|\.(?:$|[^0-9]))`)
}

// eraseInFiles replaces an address in the files of a folder, and names those in which
// it stood.
func eraseInFiles(folder string, address netip.Addr) (changed []string, err error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	pattern := addressPattern(address)
	for _, entry := range entries {
		path := filepath.Join(folder, entry.Name())
		if !entry.Type().IsRegular() || !strings.HasSuffix(path, ".md") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return changed, err
		}
		clean := text
		for range 2 { // neighbours share the character between them
			clean = pattern.ReplaceAll(clean, []byte("${1}"+clickhouse.ErasedText+"${2}"))
		}
		if bytes.Equal(clean, text) {
			continue
		}
		if err := writeFile(path, func(w io.Writer) error { _, err := w.Write(clean); return err }); err != nil {
			return changed, err
		}
		changed = append(changed, path)
	}
	return changed, nil
}
