package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/zeebo/xxh3"
)

// Bounds of a snapshot.
const (
	snapshotPart = 384 << 10 // bytes of one part
	snapshotMax  = 1 << 30   // bytes in all
)

// ErrNoSnapshot is wrapped where there is none that can be used.
var ErrNoSnapshot = errors.New("no snapshot")

// Snapshots keeps the newest snapshot of each name, of any size, in a bucket. One that is
// cut short by its writer's death leaves the one before as it was.
//
//	NAME                  {token, slot, parts, hash}, written last
//	NAME.TOKEN.SLOT.PART  the parts, in two slots by turns
type Snapshots struct{ Bucket jetstream.KeyValue }

// pointer is what a name holds.
type pointer struct {
	Token uint64 `json:"token"`
	Slot  int    `json:"slot"`
	Parts int    `json:"parts"`
	Size  int    `json:"size"`
	Hash  uint64 `json:"hash"`
}

func (p *pointer) part(name string, i int) string {
	return fmt.Sprintf("%s.%d.%d.%d", name, p.Token, p.Slot, i)
}

// Save replaces the snapshot of a name. It fails with ErrLost where a holder with a
// greater token has saved one.
func (s Snapshots) Save(ctx context.Context, name string, token uint64, data []byte) error {
	fail := func(err error) error { return fmt.Errorf("snapshot %s: %w", name, err) }
	if len(data) > snapshotMax {
		return fail(fmt.Errorf("%d bytes, at most %d", len(data), snapshotMax))
	}
	old, revision, err := s.pointer(ctx, name)
	if err != nil && !errors.Is(err, ErrNoSnapshot) {
		return fail(err)
	}
	if old.Token > token {
		return fail(ErrLost)
	}
	p := pointer{Token: token, Slot: 1 - old.Slot, Parts: (len(data) + snapshotPart - 1) / snapshotPart, Size: len(data), Hash: xxh3.Hash(data)}
	for i := range p.Parts {
		end := min((i+1)*snapshotPart, len(data))
		if _, err := s.Bucket.Put(ctx, p.part(name, i), data[i*snapshotPart:end]); err != nil {
			return fail(err)
		}
	}
	line, err := json.Marshal(p)
	if err != nil {
		return fail(err)
	}
	if revision == 0 {
		_, err = s.Bucket.Create(ctx, name, line)
	} else {
		_, err = s.Bucket.Update(ctx, name, line, revision)
	}
	if err != nil {
		return fail(err) // another has saved one meanwhile: ours may be the older
	}
	return s.tidy(ctx, name, &old, &p)
}

// tidy removes what no pointer names any more: an earlier holder's parts, and those of
// a slot that was longer.
func (s Snapshots) tidy(ctx context.Context, name string, old, now *pointer) error {
	if old.Token == now.Token || old.Token == 0 {
		return nil
	}
	keys, err := s.Bucket.ListKeysFiltered(ctx, name+".>")
	if err != nil {
		return fmt.Errorf("snapshot %s: tidy up: %w", name, err)
	}
	mine := fmt.Sprintf("%s.%d.", name, now.Token)
	for key := range keys.Keys() {
		if !strings.HasPrefix(key, mine) {
			if err := s.Bucket.Purge(ctx, key); err != nil {
				return fmt.Errorf("snapshot %s: tidy up: %w", name, err)
			}
		}
	}
	return nil
}

func (s Snapshots) pointer(ctx context.Context, name string) (p pointer, revision uint64, err error) {
	e, err := s.Bucket.Get(ctx, name)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return p, 0, ErrNoSnapshot
	}
	if err != nil {
		return p, 0, err
	}
	if err := json.Unmarshal(e.Value(), &p); err != nil || p.Parts < 0 || p.Size < 0 || p.Size > snapshotMax || p.Parts > snapshotMax/snapshotPart+1 {
		return pointer{}, e.Revision(), ErrNoSnapshot
	}
	return p, e.Revision(), nil
}

// Load returns the newest snapshot of a name. Where there is none, or what there is does
// not hold together, the error wraps ErrNoSnapshot.
func (s Snapshots) Load(ctx context.Context, name string) ([]byte, error) {
	for attempt := 0; ; attempt++ { // its writer may replace it while it is read
		data, err := s.load(ctx, name)
		if err == nil || !errors.Is(err, ErrNoSnapshot) || attempt == 2 {
			return data, err
		}
	}
}

func (s Snapshots) load(ctx context.Context, name string) ([]byte, error) {
	p, _, err := s.pointer(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("snapshot %s: %w", name, err)
	}
	data := make([]byte, 0, p.Size)
	for i := range p.Parts {
		e, err := s.Bucket.Get(ctx, p.part(name, i))
		if errors.Is(err, jetstream.ErrKeyNotFound) {
			return nil, fmt.Errorf("snapshot %s: part %d of %d is missing: %w", name, i+1, p.Parts, ErrNoSnapshot)
		}
		if err != nil {
			return nil, fmt.Errorf("snapshot %s: %w", name, err)
		}
		if data = append(data, e.Value()...); len(data) > p.Size {
			break
		}
	}
	if len(data) != p.Size || xxh3.Hash(data) != p.Hash {
		return nil, fmt.Errorf("snapshot %s: its hash does not fit: %w", name, ErrNoSnapshot)
	}
	return data, nil
}

// Sweep removes the parts that no snapshot consists of: nobody must save meanwhile.
func (s Snapshots) Sweep(ctx context.Context) error {
	keys, err := s.Bucket.ListKeys(ctx)
	if err != nil {
		return fmt.Errorf("snapshots: %w", err)
	}
	var all []string
	for key := range keys.Keys() {
		all = append(all, key)
	}
	wanted := make(map[string]bool)
	for _, key := range all {
		if p, _, err := s.pointer(ctx, key); err == nil && p.Token > 0 {
			for i := range p.Parts {
				wanted[p.part(key, i)] = true
			}
			wanted[key] = true
		}
	}
	for _, key := range all {
		if !wanted[key] {
			if err := s.Bucket.Purge(ctx, key); err != nil {
				return fmt.Errorf("snapshots: %w", err)
			}
		}
	}
	return nil
}
