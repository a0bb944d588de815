package schemas

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/klauspost/compress/s2"
	"google.golang.org/protobuf/proto"
)

// PaneVersion is the layout of panes that this code writes and reads.
const PaneVersion = 1

// MaxPaneDecoded bounds a pane before compression, in bytes: its sketches are
// bounded themselves, so a larger one is not weir's.
const MaxPaneDecoded = 4 << 20

// ErrPane is wrapped by every error about a pane that does not hold together.
var ErrPane = errors.New("malformed pane")

// EncodePane appends the compressed message to dst. The pane's Version is set.
// Errors wrap ErrPane: a site or sketches out of bounds.
func EncodePane(dst []byte, p *Pane) ([]byte, error) {
	p.Version = PaneVersion
	if err := p.check(); err != nil {
		return dst, fmt.Errorf("encode pane: %w: %v", ErrPane, err)
	}
	raw, err := proto.Marshal(p)
	if err != nil {
		return dst, fmt.Errorf("encode pane: %w: %v", ErrPane, err)
	}
	if len(raw) > MaxPaneDecoded {
		return dst, fmt.Errorf("encode pane: %w: %d bytes, at most %d", ErrPane, len(raw), MaxPaneDecoded)
	}
	message := s2.Encode(nil, raw)
	if len(message) > MaxMessage {
		return dst, fmt.Errorf("encode pane: %w: %d bytes compressed, at most %d", ErrPane, len(message), MaxMessage)
	}
	return append(dst, message...), nil
}

// DecodePane reads what EncodePane wrote. The sketches within are not looked
// into: processor/sketch checks its own. Errors wrap ErrPane.
func DecodePane(message []byte) (*Pane, error) {
	raw, err := decompress(message, MaxPaneDecoded)
	if err != nil {
		return nil, fmt.Errorf("decode pane: %w: %v", ErrPane, err)
	}
	p := new(Pane)
	if err := proto.Unmarshal(raw, p); err != nil {
		return nil, fmt.Errorf("decode pane: %w: %v", ErrPane, err)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("decode pane: %w: %v", ErrPane, err)
	}
	return p, nil
}

func (x *Pane) check() error {
	switch {
	case x.Version != PaneVersion:
		return fmt.Errorf("version %d, this reads %d", x.Version, PaneVersion)
	case x.Partition >= Partitions:
		return fmt.Errorf("partition %d of %d", x.Partition, Partitions)
	case len(x.Site) > MaxSite:
		return fmt.Errorf("a site's name of %d bytes, at most %d", len(x.Site), MaxSite)
	case !utf8.ValidString(x.Site):
		return fmt.Errorf("the site's name %q is not UTF-8", x.Site)
	}
	for name, n := range map[string]uint64{
		"status_404": x.Status_404, "status_4xx": x.Status_4Xx, "status_5xx": x.Status_5Xx,
		"new_clients": x.NewClients, "late": x.Late,
	} {
		if n > x.Requests {
			return fmt.Errorf("%s is %d of %d requests", name, n, x.Requests)
		}
	}
	return nil
}

// MessageID is the deterministic id of a pane, its key: a pane sent again is
// stored once within the stream's window, and replaces itself after that.
func (x *Pane) MessageID() string {
	return fmt.Sprintf("pane/%d/%d/%s", x.Partition, x.Second, x.Site)
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
