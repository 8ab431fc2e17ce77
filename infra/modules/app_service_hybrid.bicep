metadata description = 'Links the hybrid connections to the app, so that App Service opens them. Documented for Windows plans only; the app is on Linux.'

param siteName string
param relayName string

@description('As in relay.bicep.')
param onPremises array

resource site 'Microsoft.Web/sites@2025-05-01' existing = {
  name: siteName
}

resource namespace 'Microsoft.Relay/namespaces@2024-01-01' existing = {
  name: relayName
}

resource connections 'Microsoft.Relay/namespaces/hybridConnections@2024-01-01' existing = [for target in onPremises: {
  parent: namespace
  name: target.name
}]

resource senders 'Microsoft.Relay/namespaces/hybridConnections/authorizationRules@2024-01-01' = [for (target, i) in onPremises: {
  parent: connections[i]
  name: 'defaultSender'
  properties: { rights: [ 'Send' ] }
}]

resource links 'Microsoft.Web/sites/hybridConnectionNamespaces/relays@2025-05-01' = [for (target, i) in onPremises: {
  name: '${site.name}/${namespace.name}/${target.name}'
  properties: {
    serviceBusNamespace: namespace.name
    relayName: target.name
    relayArmUri: connections[i].id
    hostname: target.host
    port: target.port
    sendKeyName: senders[i].name
    // the one key that this way cannot do without: it goes from Relay to the site, and is no setting or output
    sendKeyValue: senders[i].listKeys().primaryKey
    serviceBusSuffix: '.servicebus.windows.net'
  }
}]
