// Package hub knows who wants which channel, and hands every committed batch to
// them in rounds. It is cut into shards, one for each event loop; a shard is
// the sole owner of its subscriptions, so nothing on the way of a message takes
// a lock but the look-up of which shards want it.
//
// It knows nothing of users, sessions' meaning, disks or HTTP.
package hub
