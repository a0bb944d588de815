package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/weir-project/weir/internal/cluster"
	"github.com/weir-project/weir/processor"
)

// The long windows are saved a piece every ten seconds of event time, each once, in a ring of
// snapshots that reaches further back than they do.
const stepsRing = processor.KeptSteps + 4

func stepsName(number int64) string { return fmt.Sprintf("windows-%d", number%stepsRing) }

// saveSteps saves what has ended in the windows since it last did.
func (d *detecting) saveSteps(ctx context.Context) {
	d.stepping.Lock()
	defer d.stepping.Unlock()
	for {
		piece, number, err := d.nextSteps()
		if err == nil && piece != nil {
			d.saving.RLock()
			err = d.snapshots.Save(ctx, stepsName(number), d.token, piece)
			d.saving.RUnlock()
		}
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, cluster.ErrLost) {
				d.log.Warn("the long windows were not saved; they are tried again", "error", err)
			}
			return
		}
		if number == 0 {
			return
		}
		d.mu.Lock()
		d.steps = number
		d.mu.Unlock()
	}
}

// nextSteps is the next piece to be saved, nil where nothing ended in its ten seconds, and its
// number; 0 where all are.
func (d *detecting) nextSteps() (piece []byte, number int64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	whole := (d.detector.Closed()+1)/processor.StepSeconds - 1 // the last of which every second has closed
	number = max(d.steps+1, whole-processor.KeptSteps)
	if !d.live || d.detector.Closed() == 0 || number > whole {
		return nil, 0, nil
	}
	var w bytes.Buffer
	some, err := d.detector.SaveSteps(&w, number)
	if err != nil || !some {
		return nil, number, err
	}
	return w.Bytes(), number, nil
}

// loadSteps restores the long windows as far as they were saved. What cannot be used is left
// out: it fills again within ten minutes.
func (d *detecting) loadSteps(ctx context.Context) {
	last := d.detector.LoadSteps(func(number int64) ([]byte, error) {
		data, err := d.snapshots.Load(ctx, stepsName(number))
		if errors.Is(err, cluster.ErrNoSnapshot) {
			return nil, nil
		}
		return data, err
	}, func(err error) {
		if ctx.Err() == nil {
			d.log.Warn("a part of the long windows cannot be used; they fill again within ten minutes", "error", err)
		}
	})
	if last > 0 {
		d.steps = last - 1 // the last may be cut where the state was saved
	}
}
