package attribute

import "github.com/weir-project/weir/schemas"

// memo keeps what was hashed of a batch's strings under their indices, so that a string
// costs once what it costs, however many rows have it.
type memo struct {
	columns [schemas.NumTraits][]uint32 // of the batch: each row's index of the trait's text
	seen    []hashed                    // by index
	empty   [schemas.NumTraits]uint32   // what index 0, the empty string, comes to
	texts   [][]byte
}

// hashed is what a string comes to as one trait; few are the text of two.
type hashed struct {
	trait uint32 // plus 1; 0 is none
	hash  uint32
}

// memoColumns are the columns that traits are read off.
var memoColumns = [...]struct {
	trait  schemas.Trait
	column schemas.Column
}{
	{schemas.TraitUserAgent, schemas.ColumnUserAgent}, {schemas.TraitAcceptLanguage, schemas.ColumnAcceptLanguage},
	{schemas.TraitAcceptEncoding, schemas.ColumnAcceptEncoding}, {schemas.TraitTLS, schemas.ColumnTLS},
	{schemas.TraitProtocol, schemas.ColumnProtocol}, {schemas.TraitMethod, schemas.ColumnMethod},
	{schemas.TraitPathShape, schemas.ColumnPath}, {schemas.TraitQueryKeys, schemas.ColumnQuery},
}

func (m *memo) init(x *Extractor) {
	for _, c := range memoColumns {
		m.empty[c.trait] = x.hash(c.trait, x.derive(c.trait, nil))
	}
}

// Begin turns to the rows of a batch: ProfileOf and RestOf are about them until the next
// Begin.
func (x *Extractor) Begin(rows *schemas.Rows) {
	m := &x.memo
	for _, c := range memoColumns {
		m.columns[c.trait] = rows.Indices(c.column)
	}
	m.texts = rows.Texts()
	if cap(m.seen) < len(m.texts) {
		m.seen = make([]hashed, len(m.texts)+len(m.texts)/4)
	}
	m.seen = m.seen[:len(m.texts)]
	clear(m.seen)
}

// derive is the text that stands in Traits for a column's.
func (x *Extractor) derive(t schemas.Trait, text []byte) []byte {
	switch t {
	case schemas.TraitPathShape:
		x.scratch = schemas.PathShape(x.scratch[:0], text)
		return x.scratch
	case schemas.TraitQueryKeys:
		x.scratch = schemas.QueryKeys(x.scratch[:0], text)
		return x.scratch
	}
	return text
}

// of is the hash of a row's trait.
func (x *Extractor) of(t schemas.Trait, row int) uint32 {
	at := x.memo.columns[t][row]
	if at == 0 {
		return x.memo.empty[t]
	}
	h := &x.memo.seen[at]
	if h.trait != uint32(t)+1 {
		*h = hashed{uint32(t) + 1, x.hash(t, x.derive(t, x.memo.texts[at]))}
	}
	return h.hash
}

// ProfileOf is Profile for a row of the batch.
func (x *Extractor) ProfileOf(t *Traits, r *schemas.Request, row int) {
	*t = Traits{}
	for _, p := range profileTraits {
		if field := profileField(p); field == 0 || r.Fields.Has(field) {
			t[p] = x.of(p, row)
		}
	}
}

// RestOf is Rest for a row of the batch.
func (x *Extractor) RestOf(t *Traits, r *schemas.Request, row int) {
	t[schemas.TraitMethod] = x.of(schemas.TraitMethod, row)
	t[schemas.TraitPathShape] = x.of(schemas.TraitPathShape, row)
	t[schemas.TraitQueryKeys] = x.of(schemas.TraitQueryKeys, row)
	x.rest(t, r)
}

// noteDerived notes the text of a trait that is derived of a column's, which is derived again
// only where it is not known.
func (x *Extractor) noteDerived(trait schemas.Trait, t *Traits, text []byte) {
	if !x.names.touch(trait, t[trait]) {
		x.names.see(trait, t[trait], x.derive(trait, text))
	}
}
