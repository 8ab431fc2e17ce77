metadata description = 'All that the app may do in Azure, and nothing beyond: one role assignment a line of the table in docs/settings.md.'

param identityName string
param storageName string
param vaultName string
param insightsName string

@description('Namespace of the hybrid connections. Any text where the app opens none.')
param relayName string

@description('What the app opens hybrid connections to, as in relay.bicep. Empty: the app is no sender.')
param targets array

var blobDataOwner = 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
var queueDataContributor = '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
var tableDataContributor = '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
var keyVaultSecretsUser = '4633458b-17de-408a-b874-0445c86b69e6'
var monitoringMetricsPublisher = '3913510d-42f4-4e42-8a64-420c390055eb'
var azureRelaySender = '26baccc8-eea7-41f1-98f4-1762cc7f685d'

// the host keeps its keys and timer leases as blobs; reading the profiles is included
var onStorage = [ blobDataOwner, queueDataContributor, tableDataContributor ]

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource storage 'Microsoft.Storage/storageAccounts@2025-08-01' existing = {
  name: storageName
}

resource vault 'Microsoft.KeyVault/vaults@2026-02-01' existing = {
  name: vaultName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

resource namespace 'Microsoft.Relay/namespaces@2024-01-01' existing = {
  name: relayName
}

resource connections 'Microsoft.Relay/namespaces/hybridConnections@2024-01-01' existing = [for target in targets: {
  parent: namespace
  name: target.name
}]

resource storageRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for role in onStorage: {
  scope: storage
  name: guid(storage.id, identity.id, role)
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
  }
}]

resource secretsRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: vault
  name: guid(vault.id, identity.id, keyVaultSecretsUser)
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', keyVaultSecretsUser)
  }
}

resource telemetryRole 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: insights
  name: guid(insights.id, identity.id, monitoringMetricsPublisher)
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', monitoringMetricsPublisher)
  }
}

resource senderRoles 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (target, i) in targets: {
  scope: connections[i]
  name: guid(connections[i].id, identity.id, azureRelaySender)
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', azureRelaySender)
  }
}]
