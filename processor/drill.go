package processor

import (
	"io"

	"github.com/weir-project/weir/schemas"
)

// LoadDetector takes up what a Detector has learned, as Detector.Save wrote it with the same
// secret, and forgets when that was; what is armed stays, as by Rewind. What cannot
// be used is refused with one clear line that wraps ErrState; the processor is then to be thrown away.
func (p *Processor) LoadDetector(in io.Reader) error {
	if err := p.detector.Load(in); err != nil {
		return err
	}
	p.Rewind()
	return nil
}

// Acquaint takes requests whose clients are known from then on, and judges nothing. It is
// followed by Rewind.
func (p *Processor) Acquaint(b *schemas.Batch) { p.counter.Count(b, func(int64, []*Pane) {}) }

// Armed are the signatures that a site keeps armed, those first that matched last.
func (p *Processor) Armed(site string) []schemas.Signature {
	s, ok := p.detector.index[site]
	if !ok {
		return nil
	}
	return s.armedNow()
}
