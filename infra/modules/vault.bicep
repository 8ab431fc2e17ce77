metadata description = 'Key Vault for the credentials of Prism and Citrix and for CA certificates. Rights are roles; nothing can be purged early.'

@description('Name of the vault: 3 to 24 letters, digits and hyphens.')
param name string

param location string
param tags object

@description('Whether only private endpoints reach it.')
param isPrivate bool

@description('Subnet of the app. Given, the firewall is closed to all but it and managementAddresses. It needs the service endpoint Microsoft.KeyVault.')
param appSubnetId string

@description('Addresses or CIDR ranges from which secrets may be set through the firewall.')
param managementAddresses array

param workspaceId string

resource vault 'Microsoft.KeyVault/vaults@2026-02-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    enablePurgeProtection: true
    publicNetworkAccess: isPrivate ? 'disabled' : 'enabled'
    networkAcls: {
      bypass: 'None'
      defaultAction: isPrivate || !empty(appSubnetId) ? 'Deny' : 'Allow'
      ipRules: [for address in managementAddresses: { value: address }]
      virtualNetworkRules: isPrivate || empty(appSubnetId) ? [] : [ { id: appSubnetId } ]
    }
  }
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  scope: vault
  name: 'log-analytics'
  properties: {
    workspaceId: workspaceId
    logs: [ { category: 'AuditEvent', enabled: true } ]
  }
}

output id string = vault.id
output name string = vault.name
output url string = vault.properties.vaultUri
