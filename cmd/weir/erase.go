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
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/sinks/clickhouse"
)

// privacyOf is what the configuration says, with the key of hashed addresses, which is
// made where there is none.
func privacyOf(c config.Privacy, data string) (p clickhouse.Privacy, err error) {
	p = clickhouse.Privacy{Addresses: clickhouse.Addresses(c.Addresses), DropValues: c.QueryValues == "drop", KeepValues: c.QueryKeys}
	if p.Addresses == clickhouse.HashedAddresses {
		p.Key, err = privacyKey(data)
	}
	return p, err
}

// writersPrivacy is the same for what writes requests: the rollups' hashes have a key, too. A
// command that stores elsewhere and may not write to the data directory does without.
func writersPrivacy(c config.Privacy, data string, log *slog.Logger) (clickhouse.Privacy, error) {
	p, err := privacyOf(c, data)
	if err != nil || p.Key != nil {
		return p, err
	}
	switch p.Key, err = privacyKey(data); {
	case err == nil:
	case !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EROFS) && !errors.Is(err, fs.ErrNotExist):
		return p, err
	default:
		log.Warn("what the rollups keep of addresses has no key, so that whoever has the database can test for one", "error", err)
	}
	return p, nil
}

// privacyKey is the key in a data directory.
func privacyKey(data string) ([]byte, error) {
	path := filepath.Join(data, "privacy.key")
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makePrivacyKey(path); err == nil {
			key, err = os.ReadFile(path)
		}
	}
	if err == nil && len(key) != 32 {
		err = errors.New("want 32 bytes: remove it, and the same address has another hash from now on")
	}
	if err != nil {
		return nil, fmt.Errorf("the key of hashed addresses, %s: %w", path, unwrapPath(err))
	}
	return key, nil
}

// makePrivacyKey makes one, whole or not at all; where another has made it meanwhile, that one stays.
func makePrivacyKey(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-*") // for its owner alone
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails (crypto/rand)
	_, err = f.Write(key)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// truncatePace is how often addresses that have come of age are looked for.
const truncatePace = time.Hour

// truncate brings addresses down to their networks when their time has come.
func (r *storing) truncate(ctx context.Context, db *clickhouse.DB) error {
	if r.privacy.Addresses != "full" || r.privacy.FullFor == 0 {
		return nil
	}
	truncate := func(ctx context.Context) {
		before := time.Now().Add(-r.privacy.FullFor)
		err := errors.Join(db.Truncate(ctx, before), truncateDrafts(filepath.Join(r.data, "postmortems"), before))
		if err != nil && ctx.Err() == nil {
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

// erasedEverywhere is what the command says.
type erasedEverywhere struct {
	clickhouse.Erased
	forgotten
	Files []string `json:"files"`
	Left  string   `json:"left,omitempty"` // where it may still be, and what to do
}

// Run erases in what a running weir holds, in ClickHouse, and in files.
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
	var done erasedEverywhere
	// NATS first: what is on its way would be stored after ClickHouse has erased.
	if done.forgotten, err = newControlClient(data).forget(ctx, address); errors.Is(err, errNotRunning) {
		done.Left = leftUntouched(data, configuration.NATS.URL)
	} else if err != nil {
		return fmt.Errorf("nothing is erased in ClickHouse yet: %w", err)
	}
	if done.Erased, err = c.inClickHouse(ctx, p, configuration, data, address); err != nil {
		return err
	}
	if done.Files, err = eraseInFiles(filepath.Join(data, "postmortems"), address); err != nil {
		return err
	}
	if err := overwriteInLogs(data, address); err != nil {
		return err
	}
	if c.Output == "json" {
		err = json.NewEncoder(s.out).Encode(done)
	} else {
		done.print(s.out, address)
	}
	if err == nil && done.Left != "" {
		err = errors.New("not erased everywhere: " + done.Left)
	}
	return err
}

func (c *eraseCommand) inClickHouse(ctx context.Context, p *program, configuration config.Config, data string, address netip.Addr) (erased clickhouse.Erased, err error) {
	open := &sqlCommand{dataFlag: dataFlag{Data: data}, ClickHouse: c.ClickHouse}
	if c.Data == "" && c.ClickHouse == "" {
		open.Data = "" // as configured
	}
	db, end, err := open.open(ctx, p)
	if err != nil {
		return erased, err
	}
	defer func() { err = errors.Join(err, end()) }()
	privacy, err := privacyOf(configuration.Privacy, data)
	if err != nil {
		return erased, err
	}
	db.SetPrivacy(privacy)
	return db.Erase(ctx, address)
}

func (e *erasedEverywhere) print(out io.Writer, address netip.Addr) {
	fmt.Fprintf(out, "Erased %s: %s requests, %s decisions, %s incidents, %s; in NATS %s.\n", address.Unmap(), count(e.Erased.Requests), count(e.Erased.Decisions),
		count(e.Erased.Incidents), plural(len(e.Files), "post-mortem"), plural(e.forgotten.Requests+e.Panes+e.Events+e.Lines+e.Regulars, "message"))
	if e.Left == "" {
		fmt.Fprint(out, "It may still be in the edges' own logs, in what you wrote to files (reports, exports, backups) and in your shell's history.\n")
	}
}

// leftUntouched is where an address may be that only a weir run can erase from, and what to
// do; empty where there is no such place.
func leftUntouched(data, nats string) string {
	const again = " Start it, and erase again."
	if nats != "" {
		return "weir run is not running on " + data + ": what lies in the NATS of nats.url, and in spools and processor.state, is untouched." + again
	}
	for _, name := range []string{"nats", "spool", "processor.state"} {
		if _, err := os.Stat(filepath.Join(data, name)); err == nil {
			return "weir run is not running on " + data + ": what lies in its NATS, spools and processor.state is untouched." + again
		}
	}
	return ""
}

// overwriteInLogs writes "x" over an address in ClickHouse's log, which has the text of
// statements that it refused.
func overwriteInLogs(data string, address netip.Addr) error {
	logs, err := filepath.Glob(filepath.Join(data, "clickhouse.log*"))
	if err != nil {
		return err
	}
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		found := textAt(addressText(address), text)
		if len(found) == 0 {
			continue
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		for _, at := range found {
			_, writeErr := f.WriteAt(bytes.Repeat([]byte{'x'}, at[1]-at[0]), int64(at[0]))
			err = errors.Join(err, writeErr)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// eraseInFiles replaces an address in the files of a folder, and names those in which
// it stood.
func eraseInFiles(folder string, address netip.Addr) (changed []string, err error) {
	pattern := addressText(address)
	err = eachDraft(folder, func(path string, info fs.FileInfo, text []byte) error {
		clean := replaceAt(text, textAt(pattern, text), clickhouse.ErasedText)
		if bytes.Equal(clean, text) {
			return nil
		}
		changed = append(changed, path)
		return rewriteDraft(path, info, clean)
	})
	return changed, err
}

// replaceAt puts a text in each of the places.
func replaceAt(text []byte, places [][2]int, by string) []byte {
	var out []byte
	from := 0
	for _, at := range places {
		out = append(append(out, text[from:at[0]]...), by...)
		from = at[1]
	}
	return append(out, text[from:]...)
}
