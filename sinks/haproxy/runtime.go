package haproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// load puts a whole new version of the map in place, at once.
func (e *Edge) load(ctx context.Context, now time.Time) error {
	started := time.Now()
	lines, decisions := e.content(now)
	// What HAProxy reads when it starts: first, so that a start meanwhile has it. Where
	// that cannot be written, the running one is brought up to date all the same.
	file := e.write(lines)
	answer, err := e.ask(ctx, "prepare map "+e.options.Map)
	if err != nil {
		return err
	}
	_, text, ok := strings.Cut(answer, "created:")
	version := strings.TrimSpace(text)
	if _, err := strconv.ParseUint(version, 10, 32); !ok || err != nil {
		return fmt.Errorf("haproxy: prepare map %s: %s", e.options.Map, said(answer))
	}
	for len(lines) > 0 {
		n := len(lines)
		if n > piece {
			n = bytes.LastIndexByte(lines[:piece], '\n') + 1
		}
		if answer, err := e.ask(ctx, "add map @"+version+" "+e.options.Map+" <<\n"+string(lines[:n])); err != nil {
			return err
		} else if strings.TrimSpace(answer) != "" {
			return fmt.Errorf("haproxy: add map %s: %s", e.options.Map, said(answer))
		}
		lines = lines[n:]
	}
	if answer, err := e.ask(ctx, "commit map @"+version+" "+e.options.Map); err != nil {
		return err
	} else if strings.TrimSpace(answer) != "" {
		return fmt.Errorf("haproxy: commit map %s: %s", e.options.Map, said(answer))
	}
	e.loaded = decisions
	if e.version, err = e.mapVersion(ctx); err != nil {
		return err
	}
	e.metrics.loads.Inc()
	e.mu.Lock()
	e.status.Loads++
	e.status.LoadedAt, e.status.LoadSeconds = time.Now(), time.Since(started).Seconds()
	e.mu.Unlock()
	return file
}

// renew moves the lease alone.
func (e *Edge) renew(ctx context.Context, now time.Time) error {
	e.until = now.Add(e.options.Lease)
	_, value, _ := strings.Cut(strings.TrimSpace(string(e.lease(nil))), " ")
	answer, err := e.ask(ctx, "set map "+e.options.Map+" "+leaseKey+" "+value)
	if err == nil && strings.TrimSpace(answer) != "" {
		err = fmt.Errorf("haproxy: set map %s: %s", e.options.Map, said(answer))
	}
	return err
}

// write replaces the file that HAProxy reads when it starts.
func (e *Edge) write(lines []byte) error {
	f, err := os.CreateTemp(filepath.Dir(e.options.Map), ".weir-map-*")
	if err != nil {
		return fmt.Errorf("haproxy: %w; the running one is up to date, one that starts is not", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(lines)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), e.options.Map)
	}
	if err != nil {
		return fmt.Errorf("haproxy: map %s: %w; the running one is up to date, one that starts is not", e.options.Map, err)
	}
	return nil
}

// mapVersion is what the running HAProxy says of the map: the process and the version.
func (e *Edge) mapVersion(ctx context.Context) (string, error) {
	answer, err := e.ask(ctx, "show map; show info")
	if err != nil {
		return "", err
	}
	version, pid := "", ""
	for line := range strings.Lines(answer) {
		line = strings.TrimSpace(line)
		if strings.Contains(line, "("+e.options.Map+")") {
			_, rest, _ := strings.Cut(line, "curr_ver=")
			version, _, _ = strings.Cut(rest, " ")
		}
		if rest, ok := strings.CutPrefix(line, "Pid: "); ok {
			pid = rest
		}
	}
	if version == "" {
		return "", fmt.Errorf("haproxy: it has no map %s: its configuration must name it (docs/edges.md), and the file must be there when it starts", e.options.Map)
	}
	return pid + "/" + version, nil
}

// count learns how many requests were stopped since it last asked. A configuration without
// the table, as it was before there was one, counts none.
func (e *Edge) count(ctx context.Context) error {
	answer, err := e.ask(ctx, "show table "+matchingTable)
	if err != nil {
		return err
	}
	more, now := uint64(0), countsOf(answer)
	for action, n := range now {
		if before := e.counted[action]; n >= before {
			more += n - before
		} else { // HAProxy has started anew
			more += n
		}
	}
	first := e.counted == nil // what was before weir came is not what weir has stopped
	e.counted = now
	if first {
		return nil
	}
	e.metrics.matched.Add(float64(more))
	e.mu.Lock()
	e.status.Matched += more
	e.mu.Unlock()
	return nil
}

// countsOf reads "0x55...: key=block use=0 exp=0 shard=0 http_req_cnt=3" of each line.
func countsOf(answer string) map[string]uint64 {
	counts := make(map[string]uint64)
	for line := range strings.Lines(answer) {
		_, rest, ok := strings.Cut(line, " key=")
		action, rest, _ := strings.Cut(rest, " ")
		_, number, found := strings.Cut(rest, "http_req_cnt=")
		if n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 64); ok && found && err == nil && len(counts) < 16 {
			counts[action] = n
		}
	}
	return counts
}

// ask sends one line, with what follows it, and returns the whole answer.
func (e *Edge) ask(ctx context.Context, command string) (string, error) {
	return ask(ctx, e.options.Socket, command)
}

func ask(ctx context.Context, socket, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return "", fmt.Errorf("haproxy: %w; is it running, with stats socket %s level admin?", err, socket)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(c, command+"\n"); err != nil {
		return "", fmt.Errorf("haproxy: %w", err)
	}
	answer, err := io.ReadAll(io.LimitReader(c, maxAnswer))
	if err != nil {
		return "", fmt.Errorf("haproxy: %w", err)
	}
	return string(answer), nil
}

func said(answer string) string {
	answer = strings.TrimSpace(answer)
	return answer[:min(len(answer), 200)]
}
