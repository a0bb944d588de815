package schemas

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"
	"google.golang.org/protobuf/proto"
)

// PanesVersion is the layout of panes that this code writes and reads.
const PanesVersion = 2

// Bounds on panes, held when encoding and when decoding.
const (
	MaxPanesDecoded = 4 << 20 // bytes of the uncompressed message
	MaxPanesParts   = 4096    // messages of one set
	MaxPanes        = 1 << 16 // panes of one message
	MaxTraitNames   = 1 << 15 // names of one message
)

// ErrPanes is wrapped by every error about panes that do not hold together.
var ErrPanes = errors.New("malformed panes")

// EncodePanes appends the compressed message to dst. Version is set. Errors wrap
// ErrPanes: something is out of bounds.
func EncodePanes(dst []byte, p *Panes) ([]byte, error) {
	p.Version = PanesVersion
	if err := p.check(); err != nil {
		return dst, fmt.Errorf("encode panes: %w: %v", ErrPanes, err)
	}
	raw, err := proto.Marshal(p)
	if err != nil {
		return dst, fmt.Errorf("encode panes: %w: %v", ErrPanes, err)
	}
	if len(raw) > MaxPanesDecoded {
		return dst, fmt.Errorf("encode panes: %w: %d bytes, at most %d", ErrPanes, len(raw), MaxPanesDecoded)
	}
	message := s2.Encode(nil, raw)
	if len(message) > MaxMessage {
		return dst, fmt.Errorf("encode panes: %w: %d bytes compressed, at most %d", ErrPanes, len(message), MaxMessage)
	}
	return append(dst, message...), nil
}

// DecodePanes reads what EncodePanes wrote. The binary forms within are not looked into:
// the packages that they are of check their own. Errors wrap ErrPanes.
func DecodePanes(message []byte) (*Panes, error) {
	raw, err := decompress(message, MaxPanesDecoded)
	if err != nil {
		return nil, fmt.Errorf("decode panes: %w: %v", ErrPanes, err)
	}
	p := new(Panes)
	if err := proto.Unmarshal(raw, p); err != nil {
		return nil, fmt.Errorf("decode panes: %w: %v", ErrPanes, err)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("decode panes: %w: %v", ErrPanes, err)
	}
	return p, nil
}

func (x *Panes) check() error {
	switch {
	case x.Version != PanesVersion:
		return fmt.Errorf("version %d, this reads %d", x.Version, PanesVersion)
	case x.Partition >= Partitions:
		return fmt.Errorf("partition %d of %d", x.Partition, Partitions)
	case x.Parts < 1 || x.Parts > MaxPanesParts:
		return fmt.Errorf("%d parts, want 1 to %d", x.Parts, MaxPanesParts)
	case x.Part < 1 || x.Part > x.Parts:
		return fmt.Errorf("part %d of %d", x.Part, x.Parts)
	case len(x.Panes) > MaxPanes:
		return fmt.Errorf("%d panes, at most %d", len(x.Panes), MaxPanes)
	case len(x.Names) > MaxTraitNames:
		return fmt.Errorf("%d names, at most %d", len(x.Names), MaxTraitNames)
	}
	for _, p := range x.Panes {
		switch {
		case p.Second > x.Closed:
			return fmt.Errorf("a pane of second %d, which is not closed: the last is %d", p.Second, x.Closed)
		case len(p.Site) > MaxSite:
			return fmt.Errorf("a site's name of %d bytes, at most %d", len(p.Site), MaxSite)
		}
	}
	for _, n := range x.Names {
		if n.Trait >= uint32(NumTraits) || len(n.Text) > MaxText {
			return fmt.Errorf("a name of trait %d with %d bytes", n.Trait, len(n.Text))
		}
	}
	return nil
}

// decompress undoes s2, refusing before it allocates what claims to be larger
// than most bytes.
func decompress(message []byte, most int) ([]byte, error) {
	size, err := s2.DecodedLen(message)
	if err != nil {
		return nil, err
	}
	if size > most {
		return nil, fmt.Errorf("%d bytes decoded, at most %d", size, most)
	}
	return s2.Decode(nil, message)
}
