package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/weir-project/weir/internal/cluster"
	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/schemas"
)

// begin takes up what the last detector saved, or the state file, or the baseline, or
// nothing.
func (d *detecting) begin(ctx context.Context) error {
	data, err := d.snapshots.Load(ctx, detectorLease)
	if err == nil {
		if err = d.restore(bytes.NewReader(data)); err == nil {
			if d.past > 0 {
				d.loadSteps(ctx)
			}
			return nil
		}
		d.log.Error("the detector's snapshot cannot be used; what it had learned is lost, unless the state file has it", "error", err)
	} else if !errors.Is(err, cluster.ErrNoSnapshot) {
		return err
	}
	d.at = detectorPosition{Stream: d.stream, Secret: d.secret}
	if d.file != "" {
		if err := d.fromFile(); err == nil || !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	d.detector, err = d.newDetector()
	return err
}

// fromFile takes up the state file.
func (d *detecting) fromFile() error {
	f, err := os.Open(d.file)
	if err != nil {
		return err
	}
	defer f.Close()
	return d.restore(f)
}

func (d *detecting) restore(r io.Reader) error {
	in := bufio.NewReader(r)
	was, err := readPosition(in)
	if err != nil {
		return err
	}
	detector := d.parts.Detector()
	if err := detector.Load(in); err != nil {
		return err
	}
	d.detector, d.at = detector, detectorPosition{Stream: d.stream, Secret: d.secret}
	if was.Stream == d.stream {
		d.at, d.past = was, was.Read
	}
	return nil
}

// readPosition reads the first line of saved state.
func readPosition(in *bufio.Reader) (was detectorPosition, err error) {
	line, err := in.ReadBytes('\n')
	if err != nil {
		return was, errors.New("it is cut short")
	}
	if err := json.Unmarshal(line, &was); err != nil {
		return was, fmt.Errorf("it is damaged: %w", err)
	}
	return was, nil
}

func (d *detecting) snapshot(ctx context.Context) {
	if err := d.desk.snapshot(ctx, d.token); err != nil && ctx.Err() == nil {
		d.log.Warn("no snapshot of the decisions was published", "error", err)
	}
}

// saveKnowledge saves all that counters need to know.
func (d *detecting) saveKnowledge(ctx context.Context) {
	sequence, _, err := d.bus.Last(ctx, schemas.StreamPanes, schemas.SubjectKnowledge)
	w := &state.Writer{}
	if err == nil {
		w.Uint(sequence) // what is told after it is not in the snapshot, or told twice
		d.mu.Lock()
		err = d.detector.Knowledge().Snapshot(w)
		d.mu.Unlock()
	}
	if err == nil {
		d.saving.RLock()
		defer d.saving.RUnlock()
		err = d.snapshots.Save(ctx, knowledgeName, d.token, s2.Encode(nil, w.Bytes))
	}
	if err != nil && ctx.Err() == nil {
		d.log.Error("what counters need to know was not saved", "error", err)
	}
}

// saveWhenDue saves every now and then, the file for the first time soon: a drill reads it.
func (d *detecting) saveWhenDue() func(context.Context) {
	saved, written, pause := time.Now(), time.Time{}, detectSaved
	return func(ctx context.Context) {
		if time.Since(saved) < pause {
			return
		}
		began := time.Now()
		file := time.Since(written) >= fileSaved
		if err := d.save(ctx, file); err != nil && ctx.Err() == nil {
			d.log.Error("the detector's state was not saved", "error", err)
		}
		if file {
			written = began
		}
		saved, pause = time.Now(), min(max(detectSaved, 20*time.Since(began)), savedLatest)
	}
}

// save stores position and state as of one moment, also in the file where there is one.
func (d *detecting) save(ctx context.Context, file bool) error {
	var state bytes.Buffer
	d.mu.Lock()
	if len(d.pending) > 0 || !d.live || !d.heard && d.past == 0 {
		d.mu.Unlock() // the state before is the one whose events were all published
		return nil
	}
	if !d.dirty && !file {
		d.mu.Unlock()
		return nil
	}
	d.dirty = false
	line, err := json.Marshal(d.at)
	if err == nil {
		state.Write(append(line, '\n'))
		err = d.detector.Save(&state)
	}
	d.mu.Unlock()
	if err != nil {
		return err
	}
	// Whoever takes this state up reads panes again from shortly before it, and what the long windows
	// held until then from their pieces: of a backlog, these may be minutes behind.
	d.saveSteps(ctx)
	d.saving.RLock()
	err = d.snapshots.Save(ctx, detectorLease, d.token, state.Bytes())
	d.saving.RUnlock()
	if err != nil {
		return err
	}
	if d.file == "" || !file {
		return nil
	}
	if err := writeFile(d.file, func(w io.Writer) error {
		_, err := w.Write(state.Bytes())
		return err
	}); err != nil {
		return fmt.Errorf("state %s: %w", d.file, err)
	}
	return nil
}
