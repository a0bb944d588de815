package ship

import (
	"bytes"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/zeebo/xxh3"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/schemas"
)

// message is one encoded batch.
type message struct {
	partition int
	id        string
	from, to  int // in the packer's memory
}

// packer makes batches of lines. The same state, intent and lines give the same
// messages, byte for byte.
type packer struct {
	o        *Options // of the Ship whose piece it packs
	site     []byte
	rows     int
	level    uint   // of 2^level clients one is kept ...
	key      uint64 // ... by a hash with this key
	builders [schemas.Partitions]*schemas.Builder
	encoder  schemas.BatchEncoder
	parser   accesslog.Parser
	finder   accesslog.Finder // where nobody named the format
	parsers  map[accesslog.Format]accesslog.Parser

	packed          // what the packs since the last clear gave
	first  int      // message of the last pack
	after  State    // the last pack
	hashed [16]byte // a client
}

// packed is what some pieces gave.
type packed struct {
	messages []message
	memory   []byte // of the messages
	newest   int64  // time of the latest request, math.MinInt64 without one
	lines    uint64
	refused  [accesslog.NumReasons]uint64
	left     uint64 // requests that were left out, of clients that are not kept
	samples  []refusal
	format   accesslog.Format // of the last piece
}

// size is how much memory it holds, in bytes, but for a few.
func (k *packed) size() (n int) {
	for i := range k.samples {
		n += len(k.samples[i].line)
	}
	return n + len(k.memory)
}

// clone is a copy in memory of its own.
func (k *packed) clone() packed {
	c := *k
	c.messages, c.memory, c.samples = slices.Clone(k.messages), bytes.Clone(k.memory), slices.Clone(k.samples)
	return c
}

// refusal is the beginning of a line that was refused.
type refusal struct {
	line   []byte
	reason accesslog.Reason
}

// maxParsers bounds how many formats' parsers a packer keeps.
const maxParsers = 32

// maxSamples bounds how many refused lines of one pack are kept to choose from.
const maxSamples = 16

func newPacker() *packer {
	k := &packer{parsers: map[accesslog.Format]accesslog.Parser{}}
	for p := range k.builders {
		k.builders[p] = schemas.NewBuilder("", "")
	}
	return k
}

// clear forgets what was packed.
func (k *packer) clear() {
	k.messages, k.memory, k.samples = k.messages[:0], k.memory[:0], k.samples[:0]
	k.newest, k.lines, k.left, k.refused = math.MinInt64, 0, 0, [accesslog.NumReasons]uint64{}
}

// pack adds the messages of an intent and its lines, and gives the state after them.
func (k *packer) pack(o *Options, state *State, intent *Intent, data []byte) error {
	k.o = o
	for _, b := range k.builders {
		b.Rename(o.Edge, o.Source)
	}
	if err := k.setFormat(intent.Format); err != nil {
		return err
	}
	if intent.Found {
		k.finder.Reset(k.format)
		k.parser = &k.finder
	}
	k.site, k.rows, k.first = []byte(intent.Site), intent.Rows, len(k.messages)
	k.level, k.key = min(intent.Level, maxLevel), intent.Key
	k.after = *state
	k.after.Intents, k.after.Position, k.after.Format = nil, intent.To, intent.Format
	k.after.Watermark = max(state.Watermark, intent.Watermark)

	// What begins inside a line that is too long is its rest, and what ends
	// inside one has no line but that.
	if intent.From.Inside {
		_, data, _ = bytes.Cut(data, []byte{'\n'})
	}
	var request schemas.Request
	for len(data) > 0 {
		line, rest, _ := bytes.Cut(data, []byte{'\n'})
		data = rest
		reason := k.parser.Parse(line, &request)
		if k.lines++; reason != accesslog.None {
			k.refuse(line, reason)
			continue
		}
		if err := k.add(&request, intent.Clock); err != nil {
			return err
		}
	}
	if intent.Found && k.finder.Format() != k.format {
		k.format = k.finder.Format()
		k.after.Format = k.format.String()
	}
	for p, b := range k.builders {
		beat := intent.Beats&(1<<p) != 0 && !k.has(p)
		for b.Len() > 0 || beat || k.after.Next[p] < intent.Next[p] {
			beat = false
			if err := k.seal(p); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *packer) setFormat(name string) error {
	format, err := accesslog.ByName(name)
	if err != nil {
		return err
	}
	k.format, k.parser = format, k.parsers[format]
	if k.parser == nil {
		if len(k.parsers) >= maxParsers {
			clear(k.parsers)
		}
		k.parser = accesslog.New(format)
		k.parsers[format] = k.parser
	}
	return nil
}

func (k *packer) refuse(line []byte, reason accesslog.Reason) {
	k.refused[reason]++
	if len(k.samples) < maxSamples && reason != accesslog.Empty {
		k.samples = append(k.samples, refusal{bytes.Clone(line[:min(len(line), deadLine)]), reason})
	}
}

func (k *packer) add(r *schemas.Request, clock int64) error {
	if len(k.site) > 0 {
		r.Site = k.site
		r.Fields |= schemas.FieldSite
	}
	if k.o.Resolve != nil {
		k.o.Resolve(r)
	}
	k.newest = max(k.newest, r.Time)
	k.after.Watermark = max(k.after.Watermark, min(r.Time, clock))
	if k.level > 0 {
		if !k.keeps(r.Client) {
			k.left++
			return nil
		}
		r.Weight = 1 << k.level
	}
	p := schemas.PartitionOf(r.Client)
	b := k.builders[p]
	if b.Len() >= k.rows || !b.Fits(r) {
		if err := k.seal(p); err != nil {
			return err
		}
	}
	b.Append(r)
	return nil
}

// keeps reports whether a client is among those whose requests are sent.
func (k *packer) keeps(client netip.Addr) bool {
	k.hashed = schemas.ClientOf(client).As16() // hashed where it lies: a slice of a copy would escape
	return xxh3.HashSeed(k.hashed[:], k.key)>>(64-k.level) == 0
}

// seal encodes a partition's batch, even an empty one.
func (k *packer) seal(p int) error {
	b := k.builders[p]
	batch := b.Batch()
	batch.Number, batch.Watermark = k.after.Next[p], k.after.Watermark
	start := len(k.memory)
	var err error
	if k.memory, err = k.encoder.Encode(k.memory, batch); err != nil {
		return fmt.Errorf("ship %s: %w", k.o.Source, err)
	}
	k.messages = append(k.messages, message{p, batch.MessageID(p), start, len(k.memory)})
	k.after.Next[p]++
	b.Reset()
	return nil
}

// refusals is how many lines were refused.
func (k *packed) refusals() (n uint64) {
	for _, count := range k.refused {
		n += count
	}
	return n
}

// has reports whether the last pack made a message for a partition.
func (k *packer) has(p int) bool {
	for _, m := range k.messages[k.first:] {
		if m.partition == p {
			return true
		}
	}
	return false
}

// findFormat is the name of the format of the first lines, "" where it has none.
func findFormat(data []byte) string {
	var lines [][]byte
	for len(data) > 0 && len(lines) < 1000 {
		line, rest, _ := bytes.Cut(data, []byte{'\n'})
		lines, data = append(lines, line), rest
	}
	if format, _ := accesslog.Detect(lines); format != accesslog.Auto {
		return format.String()
	}
	return ""
}
