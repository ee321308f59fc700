package broker

import (
	"slices"

	"github.com/orbitd/orbitd/pkg/acl"
	"github.com/orbitd/orbitd/pkg/channel"
	"github.com/orbitd/orbitd/pkg/engine"
	"github.com/orbitd/orbitd/pkg/message"
)

// Publish stores messages as one atomic unit on behalf of a client, and calls
// then as engine.Engine.Submit does: at once if the messages are refused here.
// It sets their publisher.
func (b *Broker) Publish(who *Who, msgs []message.Message, then func([]engine.Receipt, error)) {
	b.PublishSaving(who, msgs, nil, then)
}

// PublishSaving is Publish that also stores sessions, as engine.Engine.SubmitSaving
// does: those that acknowledge what the messages were made of.
func (b *Broker) PublishSaving(who *Who, msgs []message.Message, sessions []engine.Session, then func([]engine.Receipt, error)) {
	o := b.counted(then)
	for i := range msgs {
		if err := b.admit(who, &msgs[i]); err != nil {
			refused := *message.AsError(err)
			refused.Index = i
			o.told(nil, &refused)
			return
		}
	}
	var err *message.Error
	if o.charges, err = b.quotas.publish(msgs, o.charges); err != nil {
		b.overRate(msgs, sessions, err, o.tell)
		return
	}
	b.engine.SubmitSaving(msgs, sessions, o.tell)
}

// StoreSaving stores copies that the server makes of messages, and sessions, as
// engine.Engine.SubmitSaving does. Nobody's rights are asked; the copies count for the
// rates of their applications.
func (b *Broker) StoreSaving(msgs []message.Message, sessions []engine.Session, then func([]engine.Receipt, error)) {
	charges, refused := b.quotas.publish(msgs, nil)
	if refused != nil {
		then(nil, refused)
		return
	}
	b.engine.SubmitSaving(msgs, sessions, func(receipts []engine.Receipt, err error) {
		if err != nil {
			giveBack(charges, message.AsError(err))
		}
		then(receipts, err)
	})
}

// overRate refuses messages that come too fast, but for a retry of what is stored: its
// publisher does not know that yet, and is told; what it acknowledges with it is stored.
func (b *Broker) overRate(msgs []message.Message, sessions []engine.Session, err *message.Error, done func([]engine.Receipt, error)) {
	recaller, ok := b.engine.(engine.Recaller)
	if !ok || slices.ContainsFunc(msgs, func(m message.Message) bool { return m.Key == "" }) {
		done(nil, err)
		return
	}
	recaller.Recall(msgs, sessions, err, done)
}

// MayPublish is May for a message that is not there yet. A refusal counts as that of one.
func (b *Broker) MayPublish(who *Who, name channel.Name) error {
	err := b.May(who, acl.Publish, name)
	if err != nil {
		b.metrics.published(nil, err)
	}
	return err
}

func (b *Broker) admit(who *Who, m *message.Message) error {
	if len(m.Data) > b.maxMessage {
		return message.Errorf(message.TooLarge, "the payload has %d bytes; the limit is %d (session.max_message)", len(m.Data), b.maxMessage)
	}
	user, err := b.decide(who, acl.Publish, m.Channel)
	m.Publisher = user
	return err
}

// An outcome counts what became of a publish and passes it on, once. Then it serves
// another one, so that none allocates anything for it.
type outcome struct {
	broker *Broker
	then   func([]engine.Receipt, error)
	tell   func([]engine.Receipt, error) // what the engine is given: told, bound once

	charges []charge
}

// counted returns the outcome that calls then. It is told once, and not to be used behind that.
func (b *Broker) counted(then func([]engine.Receipt, error)) *outcome {
	o, ok := b.outcomes.Get().(*outcome)
	if !ok {
		o = &outcome{broker: b}
		o.tell = o.told
	}
	o.then = then
	return o
}

func (o *outcome) told(receipts []engine.Receipt, err error) {
	b, then := o.broker, o.then
	if err != nil {
		giveBack(o.charges, message.AsError(err))
	}
	clear(o.charges)
	o.then, o.charges = nil, o.charges[:0]
	b.outcomes.Put(o)
	b.metrics.published(receipts, err)
	then(receipts, err)
}
