# client.rb VERSION HOST PORT: what an application does with ruby-stomp.
require 'stomp'
require 'timeout'

version, host, port = ARGV
Timeout.timeout(20) do
  connection = Stomp::Connection.new(
    hosts: [{ login: 'alice', passcode: 'demo', host: host, port: port.to_i }], reliable: false,
    connect_headers: { 'accept-version' => version, 'host' => 'localhost' }
  )
  abort "#{connection.protocol}, not #{version}" unless connection.protocol == version
  name = "/team/ruby#{version}"
  connection.subscribe(name, { 'id' => '1', 'ack' => 'client' }, '1')
  connection.begin('t')
  %w[1 2].each { |body| connection.publish(name, body, 'transaction' => 't', 'note' => 'a:b') }
  connection.commit('t')
  %w[1 2].each do |body|
    message = connection.receive
    abort message.to_s unless message.command == 'MESSAGE' && message.body == body && message.headers['note'] == 'a:b'
    case version
    when '1.2' then connection.ack(message.headers['ack'])
    when '1.1' then connection.ack(message.headers['message-id'], 'subscription' => '1')
    else connection.ack(message.headers['message-id'])
    end
  end
  connection.publish('/open/x', 'last', 'receipt' => 'r')
  receipt = connection.receive
  abort receipt.to_s unless receipt.command == 'RECEIPT' && receipt.headers['receipt-id'] == 'r'
  connection.unsubscribe(name, { 'id' => '1' }, '1')
  connection.disconnect('receipt' => 'bye')
end
puts 'done'
