package local

import (
	"bytes"
	"context"
	"encoding/gob"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// A proxy is an engine in a child. What the child answered before it was killed
// counts as answered; everything else then is Unknown.
type proxy struct {
	cmd      *exec.Cmd
	requests *os.File
	errors   bytes.Buffer // the child's
	now      func() time.Time
	gone     chan struct{} // closed when nothing more comes from the child

	sending sync.Mutex // guards what follows; held while a request is sent
	out     *gob.Encoder
	id      uint64
	rules   func(channel.Name) engine.Rule
	known   map[channel.Name]engine.Rule // that the child has

	mu      sync.Mutex // guards what follows
	waiting map[uint64]func(response)
	tails   map[uint64]func(engine.Batch)
	dead    bool
}

var _ engine.Engine = (*proxy)(nil)

// startChild starts a child and returns when it listens.
func startChild(fault string, now func() time.Time, rules func(channel.Name) engine.Rule) (*proxy, error) {
	in, requests, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	responses, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p := &proxy{
		cmd: exec.Command(os.Args[0]), requests: requests, now: now, gone: make(chan struct{}), out: gob.NewEncoder(requests),
		rules: rules, known: map[channel.Name]engine.Rule{}, waiting: map[uint64]func(response){}, tails: map[uint64]func(engine.Batch){},
	}
	p.cmd.Env = append(os.Environ(), childVariable+"="+fault)
	p.cmd.ExtraFiles = []*os.File{in, out}
	p.cmd.Stderr = &p.errors
	there := make(chan struct{})
	p.waiting[0] = func(response) { close(there) }
	err = p.cmd.Start()
	in.Close()
	out.Close()
	if err != nil {
		return nil, err
	}
	go p.receive(responses)
	<-there
	return p, nil
}

// receive hands out what the child sends, in that order.
func (p *proxy) receive(responses *os.File) {
	defer close(p.gone)
	defer responses.Close()
	in := gob.NewDecoder(responses)
	for {
		var r response
		if in.Decode(&r) != nil {
			break
		}
		p.mu.Lock()
		deliver, done := p.tails[r.ID], p.waiting[r.ID]
		delete(p.waiting, r.ID)
		p.mu.Unlock()
		switch {
		case done != nil:
			done(r)
		case deliver != nil:
			deliver(r.Batch)
		}
	}
	p.mu.Lock()
	p.dead = true
	waiting := p.waiting
	p.waiting = nil
	p.mu.Unlock()
	for _, done := range waiting {
		done(response{Err: errKilled})
	}
}

var errKilled = message.Errorf(message.Unknown, "the process was killed")

// send sends a request about channels; done is called with the answer. Without it
// there is none.
func (p *proxy) send(r *request, done func(response), about ...channel.Name) {
	p.sending.Lock()
	defer p.sending.Unlock()
	p.id++
	r.ID = p.id
	p.sendAs(r, done, about...)
}

// sendAs is send for a request that has its ID; sending is held.
func (p *proxy) sendAs(r *request, done func(response), about ...channel.Name) {
	r.Now = p.now().UnixMilli()
	for _, name := range about {
		rule := p.rules(name)
		if old, ok := p.known[name]; !ok || old != rule {
			if r.Rules == nil {
				r.Rules = map[channel.Name]engine.Rule{}
			}
			r.Rules[name], p.known[name] = rule, rule
		}
	}
	p.mu.Lock()
	dead := p.dead
	if done != nil && !dead {
		p.waiting[r.ID] = done
	}
	p.mu.Unlock()
	if dead && done != nil {
		go done(response{Err: errKilled})
		return
	}
	_ = p.out.Encode(r) // if it fails the child is gone, and receive answers
}

func (p *proxy) call(r *request, about ...channel.Name) response {
	answered := make(chan response, 1)
	p.send(r, func(a response) { answered <- a }, about...)
	return <-answered
}

// plain returns e as an error that is nil if it is.
func plain(e *message.Error) error {
	if e == nil {
		return nil
	}
	return e
}

func (p *proxy) Submit(msgs []message.Message, done func([]engine.Receipt, error)) {
	p.SubmitSaving(msgs, nil, done)
}

func (p *proxy) SubmitSaving(msgs []message.Message, sessions []engine.Session, done func([]engine.Receipt, error)) {
	var about []channel.Name
	for i := range msgs {
		about = append(about, msgs[i].Channel)
	}
	p.send(&request{Kind: "Submit", Messages: msgs, Sessions: sessions}, func(a response) { done(a.Receipts, plain(a.Err)) }, about...)
}

func (p *proxy) Read(_ context.Context, names []channel.Name, after message.Position, limit engine.Limit) (engine.Batch, error) {
	a := p.call(&request{Kind: "Read", Names: names, After: after, Limit: limit}, names...)
	return a.Batch, plain(a.Err)
}

func (p *proxy) History(_ context.Context, ch channel.Name, before message.Offset, limit engine.Limit) (engine.Batch, error) {
	a := p.call(&request{Kind: "History", Names: []channel.Name{ch}, After: message.Position{Offset: before}, Limit: limit}, ch)
	return a.Batch, plain(a.Err)
}

func (p *proxy) Tip(ch channel.Name) (engine.Tip, bool) {
	a := p.call(&request{Kind: "Tip", Names: []channel.Name{ch}}, ch)
	return a.Tip, a.OK
}

func (p *proxy) Tail(deliver func(engine.Batch)) (stop func()) {
	r := &request{Kind: "Tail"}
	p.sending.Lock()
	p.id++
	r.ID = p.id
	p.mu.Lock()
	p.tails[r.ID] = deliver
	p.mu.Unlock()
	p.sendAs(r, nil)
	p.sending.Unlock()
	return func() {
		stopped := make(chan response, 1)
		p.sending.Lock()
		p.sendAs(&request{ID: r.ID, Kind: "Untail"}, func(a response) { stopped <- a })
		p.sending.Unlock()
		<-stopped
	}
}

func (p *proxy) SetRules(rules func(channel.Name) engine.Rule) {
	p.sending.Lock()
	p.rules = rules
	about := make([]channel.Name, 0, len(p.known))
	for name := range p.known {
		about = append(about, name)
	}
	p.sending.Unlock()
	p.call(&request{Kind: "SetRules"}, about...)
}

func (p *proxy) SaveSession(s engine.Session, done func(error)) {
	p.send(&request{Kind: "SaveSession", Session: s}, func(a response) { done(plain(a.Err)) })
}

func (p *proxy) DropSession(key engine.SessionKey, done func(error)) {
	p.send(&request{Kind: "DropSession", Session: engine.Session{Key: key}}, func(a response) { done(plain(a.Err)) })
}

func (p *proxy) MoveCursors(moves []engine.CursorMove) {
	p.send(&request{Kind: "MoveCursors", Moves: moves}, nil)
}

func (p *proxy) Session(_ context.Context, key engine.SessionKey) (engine.Session, bool, error) {
	a := p.call(&request{Kind: "Session", Session: engine.Session{Key: key}})
	if a.Err != nil || !a.OK {
		return engine.Session{}, false, plain(a.Err)
	}
	return a.Sessions[0], true, nil
}

func (p *proxy) Sessions(_ context.Context, yield func(engine.Session) bool) error {
	a := p.call(&request{Kind: "Sessions"})
	for _, s := range a.Sessions {
		if !yield(s) {
			break
		}
	}
	return plain(a.Err)
}

func (p *proxy) Status() engine.Status {
	a := p.call(&request{Kind: "Status"})
	a.Status.Refusing = plain(a.Err)
	return a.Status
}

func (p *proxy) Close(context.Context) error { return plain(p.call(&request{Kind: "Close"}).Err) }

// kill ends the child at once.
func (p *proxy) kill() {
	_ = p.cmd.Process.Kill()
	p.wait()
}

// end lets a child go whose engine is closed.
func (p *proxy) end() error {
	p.requests.Close()
	if err := p.wait(); err != nil {
		return fmt.Errorf("the child: %w\n%s", err, p.errors.Bytes())
	}
	return nil
}

func (p *proxy) wait() error {
	<-p.gone
	p.requests.Close()
	return p.cmd.Wait()
}
