package processor

// Parts makes the counters and the detector of one process, where requests are counted by
// several processes and judged by one: a Processor is the same without the distance.
type Parts struct {
	o     Options
	know  *Knowledge // of the counters
	count *metrics
}

// NewParts checks the options. Errors are one clear line each.
func NewParts(o Options) (*Parts, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	count, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	return &Parts{o: o, know: NewKnowledge(), count: count}, nil
}

// Counter makes one for one of so many partitions.
func (p *Parts) Counter(partitions int) *Counter {
	o := p.o
	o.MaxClients = max(o.MaxClients/partitions, 1024)
	c := newCounter(o, p.know, p.count)
	c.shared, c.sampled = true, partitionClients
	return c
}

// Detector makes one that has learned nothing, with a Knowledge of its own.
func (p *Parts) Detector() *Detector {
	know := NewKnowledge()
	know.noting = true
	return newDetector(p.o, newExtractor(p.o), know, p.count)
}

// Knowledge is what the counters know; it follows a detector's by Apply.
func (p *Parts) Knowledge() *Knowledge { return p.know }
