metadata description = 'Azure Relay: a namespace and a hybrid connection for each Prism or Delivery Controller.'

@description('Name of the namespace: 6 to 50 letters, digits and hyphens.')
param name string

param location string
param tags object

@description('What is on premises: name of the hybrid connection, host as in its certificate, port.')
param onPremises array

param workspaceId string

resource namespace 'Microsoft.Relay/namespaces@2024-01-01' = {
  name: name
  location: location
  tags: tags
  sku: { name: 'Standard', tier: 'Standard' }
  properties: {
    minimumTlsVersion: '1.2'
    // listeners dial in from on premises
    publicNetworkAccess: 'Enabled'
  }
}

resource connections 'Microsoft.Relay/namespaces/hybridConnections@2024-01-01' = [for target in onPremises: {
  parent: namespace
  name: target.name
  properties: {
    requiresClientAuthorization: true
    // the Hybrid Connection Manager serves what this names, and nothing else
    userMetadata: string([ { key: 'endpoint', value: '${target.host}:${target.port}' } ])
  }
}]

// the Hybrid Connection Manager signs in with a key; azbridge can do without
resource listeners 'Microsoft.Relay/namespaces/hybridConnections/authorizationRules@2024-01-01' = [for (target, i) in onPremises: {
  parent: connections[i]
  name: 'defaultListener'
  properties: { rights: [ 'Listen' ] }
}]

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: namespace
  name: 'log-analytics'
  properties: {
    workspaceId: workspaceId
    logs: [ { category: 'HybridConnectionsEvent', enabled: true } ]
  }
}

output name string = namespace.name
output host string = '${namespace.name}.servicebus.windows.net'
