# client.rb VERSION HOST PORT: what an application does with ruby-stomp.
require 'stomp'
require 'timeout'

VERSION, HOST, PORT = ARGV

def connect
  connection = Stomp::Connection.new(
    hosts: [{ login: 'alice', passcode: 'demo', host: HOST, port: PORT.to_i }], reliable: false,
    connect_headers: { 'accept-version' => VERSION, 'host' => 'localhost', 'client-id' => VERSION }
  )
  abort "#{connection.protocol}, not #{VERSION}" unless connection.protocol == VERSION
  connection
end

def take(connection, body, headers)
  message = connection.receive
  abort message.to_s unless message.command == 'MESSAGE' && message.body == body
  headers.each { |name, value| abort message.to_s unless message.headers[name] == value }
  message
end

def ack(connection, message)
  case VERSION
  when '1.2' then connection.ack(message.headers['ack'])
  when '1.1' then connection.ack(message.headers['message-id'], 'subscription' => message.headers['subscription'])
  else connection.ack(message.headers['message-id'])
  end
end

def publish(connection, name, body)
  connection.publish(name, body, 'receipt' => body)
  receipt = connection.receive
  abort receipt.to_s unless receipt.command == 'RECEIPT' && receipt.headers['receipt-id'] == body
end

Timeout.timeout(60) do
  connection = connect
  name = "/team/ruby#{VERSION}"
  connection.subscribe(name, { 'id' => '1', 'ack' => 'client' }, '1')
  connection.begin('t')
  %w[1 2].each { |body| connection.publish(name, body, 'transaction' => 't', 'note' => 'a:b') }
  connection.commit('t')
  %w[1 2].each { |body| ack(connection, take(connection, body, 'note' => 'a:b', 'user' => 'alice')) }
  connection.unsubscribe(name, { 'id' => '1' }, '1')

  kept = "#{name}/kept"
  %w[acked open].each { |body| publish(connection, kept, body) }
  durable = { 'id' => 'kept', 'ack' => 'client', 'durable' => 'true', 'after' => '0' } # it begins with the oldest
  connection.subscribe(kept, durable, 'kept')
  ack(connection, take(connection, 'acked', 'redelivered' => nil))
  take(connection, 'open', 'redelivered' => nil)
  publish(connection, '/open/x', 'last') # the ACK was received
  puts 'restart'
  $stdout.flush
  $stdin.gets
  connection = connect
  publish(connection, kept, 'missed')
  connection.subscribe(kept, durable, 'kept')
  ack(connection, take(connection, 'open', 'redelivered' => 'true'))
  ack(connection, take(connection, 'missed', 'redelivered' => nil))
  connection.disconnect('receipt' => 'bye')
end
puts 'done'
